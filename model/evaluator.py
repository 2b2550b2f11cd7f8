"""The evaluator: reads the checkpoints of a run as they come, oldest first, and never writes among them."""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dataset.files import append_json_line
from dataset.prepared import open_prepared
from model import results
from model.checkpoint_files import list_checkpoints, step_of
from model.checkpoints import UnreadableCheckpointError, restore_model
from model.embedder import build_embedder
from model.embedding import Embedder
from model.evaluation_sets import ReadySet, load_evaluation_sets
from model.monitoring import Log
from model.params import Params
from model.run_folder import RunFolder


class Evaluator:
    """Evaluates checkpoints of one run on all its sets. Network and graph are built once."""

    def __init__(self, run: RunFolder, params: Params, log: Log) -> None:
        """Raises a UserError for a broken data set or an impossible best_metric."""
        self._run, self._log = run, log
        self._sets = load_evaluation_sets(open_prepared(params.dataset), params)
        self._best = results.best_metric(params.best_metric, {each.name: each.headline for each in self._sets})
        self._files, self._orientations, self._rows = _union(self._sets)
        self._model: keras.Model = build_embedder(params)
        self._embedder = Embedder(self._model, params)
        self._writers = {
            each.name: tf.summary.create_file_writer(str(run.eval_events(each.name))) for each in self._sets
        }
        skipped = sum(each.skipped for each in self._sets)
        left_out = f"; {skipped} broken images left out" if skipped else ""
        log.line(f"evaluating {', '.join(e.name for e in self._sets)}: {len(self._files):,} different images{left_out}")

    def pending(self) -> list[Path]:
        """The checkpoints that lack a result for one of the sets, oldest first."""
        done = results.evaluated(self._run)
        listed = [path for _, path in list_checkpoints(self._run.checkpoints)]
        return [path for path in listed if any((path.name, each.name) not in done for each in self._sets)]

    def evaluate(self, checkpoint: Path) -> bool:
        """Evaluates one checkpoint; says whether it could: one that was rotated away meanwhile is left out."""
        start = time.perf_counter()
        try:
            restore_model(checkpoint, self._model)
        except UnreadableCheckpointError as error:
            self._log.line(f"{error}; left out")
            return False
        embeddings = self._embedder.embed(self._files, self._orientations)
        done, metrics = results.evaluated(self._run), {}
        for each in self._sets:
            figures = each.evaluate(embeddings[self._rows[each.name]])
            metrics[each.name] = figures.metrics
            self._write_events(each.name, step_of(checkpoint), figures.metrics)
            if (checkpoint.name, each.name) not in done:
                line = {"step": step_of(checkpoint), "set": each.name, "checkpoint": checkpoint.name}
                append_json_line(self._run.results, line | figures._asdict())
        best = results.keep_best(self._run, checkpoint, *self._best, metrics)
        shown = "  ".join(f"{each.name} {each.headline} {metrics[each.name][each.headline]:.1%}" for each in self._sets)
        seconds = time.perf_counter() - start
        self._log.line(f"{checkpoint.name}: {shown}  ({seconds:.1f} s){'  best so far' if best else ''}")
        return True

    def _write_events(self, name: str, step: int, metrics: dict[str, float]) -> None:
        with self._writers[name].as_default():
            for metric, value in metrics.items():
                tf.summary.scalar(metric, value, step)
        self._writers[name].flush()


def evaluate_latest(run: RunFolder, params: Params, log: Log) -> None:
    """Evaluates the newest checkpoint, unless it has been, and ends."""
    evaluator = Evaluator(run, params, log)
    _, latest = list_checkpoints(run.checkpoints)[-1]
    if latest in evaluator.pending():
        evaluator.evaluate(latest)
    else:
        log.line(f"{latest.name} has been evaluated already; its figures are in {run.results}")


def evaluate_all(run: RunFolder, params: Params, log: Log) -> None:
    """Evaluates every checkpoint as it comes, oldest first.

    Ends when training has ended by itself and all is evaluated, or after `eval_timeout_secs` of nothing new.
    """
    evaluator = Evaluator(run, params, log)
    given_up: set[Path] = set()
    news = time.monotonic()
    while True:
        finished = run.done.exists()  # asked before the checkpoints are listed: the last one comes before DONE
        pending = [path for path in evaluator.pending() if path not in given_up]
        if pending:
            if not evaluator.evaluate(pending[0]):
                given_up.add(pending[0])
            news = time.monotonic()
        elif finished:
            log.line("training has ended and all of its checkpoints are evaluated")
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
