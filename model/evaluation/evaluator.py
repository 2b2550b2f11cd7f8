"""The evaluator: reads the checkpoints of a run as they come, oldest first, and never writes among them."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import keras
import numpy as np

from dataset.formats.prepared import PreparedDataset, open_prepared
from model.configuration.params import Params
from model.embedding.embedder import Embedder
from model.evaluation.best import best_metric, borrowed, keep_best
from model.evaluation.curves import SetCurves
from model.evaluation.sets import ReadySet, load_evaluation_sets, load_kinds
from model.network.build import build_embedder
from model.run import results
from model.run.checkpoint_files import UnreadableCheckpointError, list_checkpoints, step_of
from model.run.restore import restore_model
from model.run.results import origin_of
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import append_json_line
from runtime.log import Log


class Pictures(Protocol):
    """Draws the pictures of one set, for one checkpoint after the other."""

    def draw(self, embeddings: np.ndarray, step: int) -> Iterable[tuple[str, np.ndarray]]:
        """Names and pictures (H, W, 3) uint8, of embeddings (N, D) of the set's files."""


MakePictures = Callable[[PreparedDataset, ReadySet, Params, RunFolder], Pictures]


class Evaluator:
    """Evaluates checkpoints of one run on all its sets. Network and graph are built once."""

    def __init__(self, run: RunFolder, params: Params, log: Log, make_pictures: MakePictures | None = None) -> None:
        """`make_pictures` is asked for the pictures of each set whose kind has some; None for no pictures.

        Raises:
            UserError: for a broken data set or an impossible best_metric.
        """
        self._run, self._log = run, log
        self._origin, self._csv = origin_of(params), params.csv_log
        # Metrics of another data set or distance do not decide what is best, and have no place in the run's curves.
        self._own = self._origin == origin_of(run.load_trained_params())
        prepared = open_prepared(params.dataset)
        self._sets = load_evaluation_sets(prepared, params)
        self._best = best_metric(params.best_metric, {each.name: each.metrics for each in self._sets})
        self._files, self._orientations, self._rows = _union(self._sets)
        self._model: keras.Model = build_embedder(params)
        self._embedder = Embedder(self._model, params)
        self._curves = {each.name: SetCurves(run, each.name) for each in self._sets}
        self._pictures: dict[str, Pictures] = {}
        if make_pictures and self._own and params.eval_pictures:
            shown = [each for each in self._sets if load_kinds()[each.found.kind].PICTURES]
            self._pictures = {each.name: make_pictures(prepared, each, params, run) for each in shown}
        skipped = sum(each.skipped for each in self._sets)
        left_out = f"; {skipped} broken images left out" if skipped else ""
        log.line(f"evaluating {', '.join(e.name for e in self._sets)}: {len(self._files):,} different images{left_out}")

    def pending(self) -> list[Path]:
        """The checkpoints that lack a result for one of the sets, oldest first."""
        done = results.evaluated(self._run, self._origin)
        listed = [path for _, path in list_checkpoints(self._run.checkpoints)]
        return [path for path in listed if any((path.name, each.name) not in done for each in self._sets)]

    def evaluate(self, checkpoint: Path) -> None:
        """Evaluates one checkpoint.

        Raises:
            UnreadableCheckpointError: when it is gone or damaged, or its embeddings are no numbers.
        """
        start = time.perf_counter()
        with borrowed(self._run, checkpoint) as files:
            restore_model(files, self._model, name=checkpoint)
            embeddings = self._embedder.embed(self._files, self._orientations)
            broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
            if broken:
                raise UnreadableCheckpointError(
                    f"{checkpoint}: {broken} of {len(embeddings)} embeddings are not finite"
                )
            found = {each.name: each.evaluate(embeddings[self._rows[each.name]]) for each in self._sets}
            metrics = {name: of_set.metrics for name, of_set in found.items()}
            # The best is kept before the metrics count as done: killed in between, it is looked at again.
            best = self._own and keep_best(self._run, files, *self._best, metrics)
        done, step = results.evaluated(self._run, self._origin), step_of(checkpoint)
        new = [name for name in found if (checkpoint.name, name) not in done]
        for name in new:
            of_set = found[name]._replace(definitions=found[name].definitions | self._origin)
            line = {"step": step, "set": name, "checkpoint": checkpoint.name} | of_set.line()
            append_json_line(self._run.results, line)
            if self._own:
                own = results.results_with(self._run, self._origin)
                self._curves[name].update(step, [line for line in own if line["set"] == name])
        if self._csv:
            results.write_results_csv(self._run)
        for name in new:  # after all metrics: the trainer may be waiting for them
            if name in self._pictures:
                self._draw(name, step, embeddings[self._rows[name]])
        shown = "  ".join(f"{s.name} {s.metrics[0]} {metrics[s.name][s.metrics[0]]:.1%}" for s in self._sets)
        seconds = time.perf_counter() - start
        self._log.line(f"{checkpoint.name}: {shown}  ({seconds:.1f} s){'  best so far' if best else ''}")

    def _draw(self, name: str, step: int, embeddings: np.ndarray) -> None:
        """Pictures of a set, for TensorBoard; where they cannot be drawn, a line says so, and evaluating goes on."""
        try:
            self._curves[name].pictures(step, self._pictures[name].draw(embeddings, step))
        except Exception as error:  # an image that is gone, a full disk: metrics are worth more than pictures
            reason = " ".join(str(error).split()) or type(error).__name__
            self._log.line(f"no pictures of {name} at step {step}: {reason}")


def evaluate_latest(run: RunFolder, params: Params, log: Log, make_pictures: MakePictures | None = None) -> None:
    """Evaluates the newest checkpoint, unless it has been, and ends."""
    evaluator = Evaluator(run, params, log, make_pictures)
    _, latest = list_checkpoints(run.checkpoints)[-1]
    if latest in evaluator.pending():
        evaluator.evaluate(latest)
    else:
        log.line(f"{latest.name} has been evaluated already; its figures are in {run.results}")


def evaluate_all(run: RunFolder, params: Params, log: Log, make_pictures: MakePictures | None = None) -> None:
    """Evaluates every checkpoint as it comes, oldest first.

    Ends when training has ended by itself and all is evaluated, or after `eval_timeout_secs` of nothing new.
    """
    evaluator = Evaluator(run, params, log, make_pictures)
    given_up: set[Path] = set()
    news = time.monotonic()
    while True:
        finished = run.done.exists()  # asked before the checkpoints are listed: the last one comes before DONE
        pending = [path for path in evaluator.pending() if path not in given_up]
        if pending:
            try:
                evaluator.evaluate(pending[0])
            except UnreadableCheckpointError as error:
                log.line(f"{error}; left out")
                given_up.add(pending[0])
            news = time.monotonic()
        elif finished:
            but = f", except {', '.join(path.name for path in sorted(given_up))}" if given_up else ""
            if given_up and not results.evaluated(run, origin_of(params)):
                raise UserError(f"{run.checkpoints}: none of its checkpoints could be evaluated")
            log.line(f"training has ended and all checkpoints that were kept are evaluated{but}")
            return
        elif time.monotonic() - news > params.eval_timeout_secs:
            log.line(f"no new checkpoint for {params.eval_timeout_secs:g} s (eval_timeout_secs): ending")
            return
        else:
            time.sleep(params.eval_interval_secs)


def _union(sets: list[ReadySet]) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """The different files of all sets with their orientations, and for each set the rows of its files among them."""
    row_of: dict[str, int] = {}
    orientations: dict[str, int] = {}
    rows = {}
    for each in sets:
        rows[each.name] = np.array([row_of.setdefault(file, len(row_of)) for file in each.files])
        orientations.update(zip(each.files, each.orientations, strict=True))
    return list(row_of), np.array([orientations[file] for file in row_of], np.uint8), rows
