"""What all evaluators of a run have found, shown in TensorBoard: by one of them, in order of step."""

import contextlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from model.evaluation.claims import Claims
from model.evaluation.curves import SetCurves
from model.run.results import origin_of, results_with
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.files import remove_unfinished, replace_file
from runtime.log import Log


def keep_pictures(run: RunFolder, name: str, step: int, pictures: dict[str, np.ndarray]) -> None:
    """Keeps pictures (H, W, 3) uint8 of a set in a file, until they are shown.

    Raises:
        UserError: when it cannot be written.
    """
    with replace_file(run.eval_events(name) / f".pictures-{step}.npz", "wb") as file:
        np.savez(file, **pictures)  # type: ignore[arg-type]


class Publisher:
    """Writes the event files of the evaluation sets, if no other evaluator does.

    TensorBoard needs the points and pictures of a tag from one writer, and in order of step: after an earlier step it
    drops the later ones.
    """

    def __init__(self, run: RunFolder, names: Iterable[str], claims: Claims, log: Log) -> None:
        """Args:
        run: the run.
        names: of its evaluation sets; none where the evaluator's results are not comparable with the run's.
        claims: of this process.
        log: for failures, after which the evaluation continues.
        """
        self._run, self._claims, self._log = run, claims, log
        self._origin = origin_of(run.load_trained_params())
        self._curves = {name: SetCurves(run, name) for name in names}
        self._seen: object = None
        self._without_curves: set[str] = set()  # sets with a note about it

    def publish(self, until: float = math.inf) -> None:
        """Shows the results and pictures before step `until`, at which results are still missing."""
        if not self._curves or not self._claims.writes_events():
            return
        with contextlib.suppress(FileNotFoundError):
            stat = self._run.results.stat()
            seen = (until, stat.st_ino, stat.st_size, stat.st_mtime_ns, [self._kept(name) for name in self._curves])
            if seen == self._seen:
                return
            lines = results_with(self._run, self._origin)
            for name, curves in self._curves.items():
                own = [line for line in lines if line["set"] == name]
                if own:
                    self._publish(name, curves, own, until)
            self._seen = (*seen[:-1], [self._kept(name) for name in self._curves])

    def _publish(self, name: str, curves: SetCurves, lines: list[dict[str, Any]], until: float) -> None:
        """Shows one set. A failure is logged: the results are recorded already."""
        try:
            steps = curves.update(lines, until)
        except UserError as error:
            if name not in self._without_curves:
                self._log.line(f"note: no curves of {name} for TensorBoard: {error}; results.jsonl has its metrics")
            self._without_curves.add(name)
            steps = sorted({line["step"] for line in lines if line["step"] < until})
        for step, file in self._kept(name):
            if step < until:
                try:
                    if step in steps:  # else a training has dropped its results
                        with np.load(file) as pictures:
                            curves.pictures(step, pictures.items())
                except Exception as error:  # e.g. a full disk: metrics matter more
                    self._log.line(f"no pictures of {name} at step {step}: {reason_of(error)}")
                finally:
                    file.unlink(missing_ok=True)
                    remove_unfinished(file)

    def _kept(self, name: str) -> list[tuple[int, Path]]:
        """The steps with pictures that are not shown yet, and their files."""
        files = self._run.eval_events(name).glob(".pictures-*.npz")
        return sorted((int(file.stem.rpartition("-")[2]), file) for file in files)


def reason_of(error: Exception) -> str:
    """The message of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
