"""The evaluator: evaluates the checkpoints of a run as they appear, oldest first. Several may share a run."""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import keras
import numpy as np

from dataset.formats.prepared import PreparedDataset, open_prepared
from model.configuration.params import Params
from model.embedding.embedder import Embedder
from model.evaluation.best import best_metric, borrowed, keep_best, mend_best
from model.evaluation.claims import Claims
from model.evaluation.publishing import Publisher, keep_pictures, reason_of
from model.evaluation.sets import ReadySet, SetMetrics, load_evaluation_sets, load_kinds
from model.network.build import build_embedder
from model.run import results
from model.run.checkpoint_files import (
    UnreadableCheckpointError,
    check_run_exists,
    find_checkpoint,
    list_checkpoints,
    step_of,
)
from model.run.devices import local_devices
from model.run.heartbeat import Heartbeat
from model.run.restore import restore_model
from model.run.results import origin_of
from model.run.run_folder import RunFolder
from model.run.status import stamp
from runtime.errors import UserError
from runtime.json_files import append_json_line
from runtime.log import Log


class Pictures(Protocol):
    """Draws the pictures of one set, for each checkpoint."""

    def draw(self, embeddings: np.ndarray, step: int, *, newest: bool) -> Iterable[tuple[str, np.ndarray]]:
        """Names and pictures (H, W, 3) uint8 for the embeddings (N, D) of the set's files.

        `newest`: no later checkpoint has results yet.
        """


MakePictures = Callable[[PreparedDataset, ReadySet, Params, RunFolder], Pictures]


class Evaluator:
    """Evaluates checkpoints of a run on all its sets. Builds network and graph once."""

    def __init__(
        self,
        run: RunFolder,
        params: Params,
        log: Log,
        make_pictures: MakePictures | None = None,
        beat: Heartbeat | None = None,
    ) -> None:
        """Args:
        run: the run.
        params: its parameters.
        log: the log of this process.
        make_pictures: makes the pictures of each set with pictures; None: no pictures.
        beat: its heartbeat, which tells the last evaluation.

        Raises:
            UserError: for a broken data set or an invalid best_metric.
        """
        self._run, self._log, self._beat = run, log, beat
        self._origin, self._csv = origin_of(params), params.csv_log
        # Results of another data set or distance neither choose the best checkpoint nor belong in the run's curves.
        self.own = self._origin == origin_of(run.load_trained_params())
        prepared = open_prepared(params.dataset)
        bad: dict[str, str] = {}
        self._sets = load_evaluation_sets(prepared, params, bad)
        for name, why in bad.items():
            log.line(f"skipped evaluation set {name}: {why}")
        if (watched := params.best_metric.partition("/")[0]) in bad:
            raise UserError(f"best_metric {params.best_metric!r}: {bad[watched]}; choose a metric of another set")
        self._best = best_metric(params.best_metric, {each.name: each.metrics for each in self._sets})
        with results.changing_results(run):
            self._mend_best()
        self._files, self._orientations, self._rows = _union(self._sets)
        self._model: keras.Model = build_embedder(params)
        self._embedder = Embedder(self._model, params, devices=local_devices())
        self._pictures: dict[str, Pictures] = {}
        if make_pictures and self.own and params.eval_pictures:
            shown = [each for each in self._sets if load_kinds()[each.found.kind].PICTURES]
            self._pictures = {each.name: make_pictures(prepared, each, params, run) for each in shown}
        skipped = sum(each.skipped for each in self._sets)
        note = f"; {skipped} broken images skipped" if skipped else ""
        log.line(f"evaluating {', '.join(e.name for e in self._sets)}: {len(self._files):,} different images{note}")
        for each in self._sets:
            if each.excluded:
                log.line(f"{each.name}: {each.excluded} excluded")

    @property
    def sets(self) -> list[str]:
        """The names of the evaluation sets."""
        return [each.name for each in self._sets]

    def pending(self) -> list[Path]:
        """The checkpoints without a result for every set, oldest first."""
        done = results.evaluated(self._run, self._origin)
        listed = [path for _, path in list_checkpoints(self._run.checkpoints)]
        return [path for path in listed if any((path.name, each.name) not in done for each in self._sets)]

    def evaluate(self, checkpoint: Path) -> None:
        """Evaluates one checkpoint.

        Raises:
            UnreadableCheckpointError: when it is missing or damaged, or its embeddings are NaN or infinite.
        """
        start = time.perf_counter()
        with borrowed(self._run, checkpoint) as files:
            restore_model(files, self._model, name=checkpoint)
            embeddings = self._embedder.embed(self._files, self._orientations)
            broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
            if broken:
                raise UnreadableCheckpointError(
                    f"{checkpoint}: {broken} of {len(embeddings)} embeddings are NaN or infinite"
                )
            found = {each.name: each.evaluate(embeddings[self._rows[each.name]]) for each in self._sets}
            metrics = {name: of_set.metrics for name, of_set in found.items()}
            with results.changing_results(self._run):
                # Keep the best before recording results: if killed in between, the checkpoint is evaluated again.
                self._mend_best()
                best = self.own and keep_best(self._run, files, *self._best, metrics)
                new = self._record(checkpoint, found)
        for name in new:  # after all metrics: the training may watch them
            if name in self._pictures:
                self._draw(name, step_of(checkpoint), embeddings[self._rows[name]])
        shown = "  ".join(f"{s.name} {s.metrics[0]} {metrics[s.name][s.metrics[0]]:.1%}" for s in self._sets)
        seconds = time.perf_counter() - start
        self._log.line(f"{checkpoint.name}: {shown}  ({seconds:.1f} s){'  best so far' if best else ''}")
        if self._beat:
            name, metric = self._best
            last = {"checkpoint": checkpoint.name, "set": name, "metric": metric, "value": metrics[name][metric]}
            self._beat.finished(f"{checkpoint.name} evaluated", last_evaluation=last | {"time": stamp()})

    def _mend_best(self) -> None:
        if self.own and (note := mend_best(self._run, self._origin, *self._best)):
            self._log.line(note)

    def _record(self, checkpoint: Path, found: dict[str, SetMetrics]) -> list[str]:
        """Writes the results of the sets that have none yet, and returns the names of these sets."""
        done = results.evaluated(self._run, self._origin)
        new = [name for name in found if (checkpoint.name, name) not in done]
        for name in new:
            of_set = found[name]._replace(definitions=found[name].definitions | self._origin)
            line = {"step": step_of(checkpoint), "set": name, "checkpoint": checkpoint.name} | of_set.line()
            append_json_line(self._run.results, line)
        if self._csv:
            results.write_results_csv(self._run)
        return new

    def _draw(self, name: str, step: int, embeddings: np.ndarray) -> None:
        """Draws the pictures of a set, and keeps them for TensorBoard. A failure is only logged."""
        recorded = results.results_with(self._run, self._origin)
        newest = step == max(line["step"] for line in recorded if line["set"] == name)
        pictures: dict[str, np.ndarray] = {}
        try:
            pictures.update(self._pictures[name].draw(embeddings, step, newest=newest))
            keep_pictures(self._run, name, step, pictures)
        except Exception as error:  # e.g. a missing image or a full disk: metrics matter more
            self._log.line(f"no pictures of {name} at step {step}: {reason_of(error)}")


def evaluate_latest(
    run: RunFolder,
    params: Params,
    log: Log,
    make_pictures: MakePictures | None = None,
    beat: Heartbeat | None = None,
) -> None:
    """Evaluates the newest checkpoint, unless it has results already. Waits if another evaluator has begun it."""
    with Claims(run) as claims:
        evaluator = Evaluator(run, params, log, make_pictures, beat)
        publisher = Publisher(run, evaluator.sets if evaluator.own else [], claims, log)
        latest = find_checkpoint(run.folder)
        if latest not in evaluator.pending():
            log.line(f"{latest.name} is evaluated already; its metrics are in {run.results}")
        while latest in evaluator.pending():
            with claims.first([latest]) as mine:
                if mine and mine in evaluator.pending():  # another may have finished it
                    evaluator.evaluate(latest)
            if mine is None:
                time.sleep(params.eval_interval_secs)
        publisher.publish()


def evaluate_all(
    run: RunFolder,
    params: Params,
    log: Log,
    make_pictures: MakePictures | None = None,
    beat: Heartbeat | None = None,
) -> None:
    """Evaluates every checkpoint as it appears, oldest first, unless another evaluator has begun it.

    Ends when training has ended by itself and all checkpoints are evaluated, also by others, or after
    `eval_timeout_secs` without a new checkpoint or result.
    """
    with Claims(run) as claims:
        evaluator = Evaluator(run, params, log, make_pictures, beat)
        publisher = Publisher(run, evaluator.sets if evaluator.own else [], claims, log)
        given_up: set[Path] = set()
        pending: list[Path] = []
        news, waiting = time.monotonic(), False
        while True:
            check_run_exists(run.folder)
            finished = run.done.exists()  # read before the list: the last checkpoint precedes DONE
            before, pending = pending, [path for path in evaluator.pending() if path not in given_up]
            if pending != before:
                news = time.monotonic()
            publisher.publish(until=step_of(pending[0]) if pending else math.inf)
            with claims.first(pending) as mine:
                if mine and mine in evaluator.pending():  # another may have finished it
                    try:
                        evaluator.evaluate(mine)
                    except UnreadableCheckpointError as error:
                        log.line(f"{error}; skipped")
                        given_up.add(mine)
                    news = time.monotonic()
            if mine:
                continue
            at_work = claims.others()
            if finished and not pending and not at_work:
                break
            if finished and at_work and not waiting:
                waiting = True
                log.line("training has ended; waiting for the other evaluate.py, which has begun the rest")
            if time.monotonic() - news > params.eval_timeout_secs:
                log.line(f"no new checkpoint for {params.eval_timeout_secs:g} s (eval_timeout_secs): ending")
                return
            time.sleep(params.eval_interval_secs)
        publisher.publish()
    but = f", except {', '.join(path.name for path in sorted(given_up))}" if given_up else ""
    if given_up and not results.evaluated(run, origin_of(params)):
        raise UserError(f"{run.checkpoints}: no checkpoint could be evaluated; the lines above say why")
    log.line(f"training has ended; all remaining checkpoints are evaluated{but}")


def _union(sets: list[ReadySet]) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """The union of the files of all sets, their orientations, and for each set the rows of its files in the union."""
    row_of: dict[str, int] = {}
    orientations: dict[str, int] = {}
    rows = {}
    for each in sets:
        rows[each.name] = np.array([row_of.setdefault(file, len(row_of)) for file in each.files])
        orientations.update(zip(each.files, each.orientations, strict=True))
    return list(row_of), np.array([orientations[file] for file in row_of], np.uint8), rows
