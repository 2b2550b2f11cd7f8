"""Keeps the best checkpoint of a run in `best/`, where training does not delete it."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from model.run.best_json import Best, read_best
from model.run.checkpoint_files import UnreadableCheckpointError, files_of, is_complete, missing_data, step_of
from model.run.results import results_with
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.files import remove_unfinished
from runtime.json_files import write_json

BORROWED = ".evaluating-"  # and the name of the checkpoint: a folder of the run


@contextlib.contextmanager
def borrowed(run: RunFolder, checkpoint: Path) -> Iterator[Path]:
    """A temporary second name of a checkpoint (path without suffix), which stays if training deletes the first.

    Evaluation may take longer than training keeps a checkpoint. Uses hard links, or copies where links are impossible.
    Only one process may do this for a checkpoint: see `Claims`.

    Raises:
        UnreadableCheckpointError: when its files no longer exist.
    """
    folder = run.folder / f"{BORROWED}{checkpoint.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        with contextlib.suppress(FileNotFoundError):  # missing files are checked below
            for source in files_of(checkpoint):
                _link_or_copy(source, folder / source.name)
        for file in (folder / f"{checkpoint.name}.index", missing_data(folder / checkpoint.name)):
            if file and not file.exists():
                raise UnreadableCheckpointError(f"{checkpoint} cannot be read: {file.name} is missing")
        yield folder / checkpoint.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def best_metric(wanted: str, metrics: dict[str, tuple[str, ...]]) -> tuple[str, str]:
    """The (set, metric) that chooses the best checkpoint.

    Args:
        wanted: the parameter best_metric, `<set>/<metric>` or "auto".
        metrics: the metrics of each set, the main one first.

    Raises:
        UserError: when there is no such set or metric.
    """
    if wanted == "auto":
        name = "val_eval" if "val_eval" in metrics else next(iter(metrics))
        return name, metrics[name][0]
    name, slash, metric = wanted.partition("/")
    if not slash or name not in metrics:
        raise UserError(f"best_metric {wanted!r}: it must be auto or <set>/<metric>; the sets are {', '.join(metrics)}")
    if metric not in metrics[name]:
        raise UserError(f"best_metric {wanted!r}: no such metric; that set has {', '.join(metrics[name])}")
    return name, metric


def keep_best(run: RunFolder, checkpoint: Path, name: str, metric: str, metrics: dict[str, dict[str, float]]) -> bool:
    """Copies a checkpoint to best/ if its metric is higher than the best so far, or equal at an earlier step.

    Returns whether it did. Call this, and `mend_best`, only within `changing_results`.

    best.json always names complete files: they are written first, then best.json is replaced, then the files of the one
    that it named before go. A best checkpoint by another metric stays.
    """
    value, step, before = metrics[name][metric], step_of(checkpoint), _read_best(run)
    same = before is not None and (before.set, before.metric) == (name, metric)
    if before and same and (before.value or 0.0, -before.step) >= (value, -step):
        return False
    run.best.mkdir(exist_ok=True)
    if checkpoint.parent != run.best:
        for source in files_of(checkpoint):
            temporary = run.best / f".{source.name}.tmp"
            temporary.unlink(missing_ok=True)
            _link_or_copy(source, temporary)
            temporary.replace(run.best / source.name)
    best = {"step": step, "checkpoint": checkpoint.name, "set": name, "metric": metric, "value": value}
    write_json(run.best_json, best | {"metrics": metrics})
    if before and same and before.checkpoint != checkpoint.name:
        for old in files_of(run.best / before.checkpoint):
            old.unlink()
    return True


def mend_best(run: RunFolder, origin: dict[str, str], name: str, metric: str) -> str | None:
    """Chooses the best checkpoint from results.jsonl if best.json is lost, damaged, or of another metric.

    Also removes what a killed evaluator left.

    Args:
        run: the run.
        origin: data set and metric, see `results_with`.
        name, metric: the set and its metric that choose.

    Returns:
        A line for the log; None if there is nothing to do.
    """
    remove_unfinished(run.best_json)
    for half in run.best.glob(".*.tmp"):
        half.unlink()
    before = _read_best(run)
    if before and (before.set, before.metric) == (name, metric) and is_complete(run.best / before.checkpoint):
        return None
    found: dict[str, dict[str, dict[str, float]]] = {}
    for line in results_with(run, origin):
        found.setdefault(line["checkpoint"], {})[line["set"]] = line["metrics"]
    known = {each: sets[name][metric] for each, sets in found.items() if sets.get(name, {}).get(metric) is not None}
    there: dict[str, Path] = {}
    for folder in (run.checkpoints, run.best):
        there |= {each: folder / each for each in known if is_complete(folder / each)}
    if not there:
        return None
    top = max(there, key=lambda each: (known[each], -step_of(Path(each))))  # the first of equal ones
    if before and (before.set, before.metric) == (name, metric):  # its files are gone
        run.best_json.unlink()
    keep_best(run, there[top], name, metric, found[top])
    lost = [each for each in known if known[each] > known[top]]
    but = f"; {', '.join(lost)} had more, but the files are gone" if lost else ""
    return f"{run.best_json} rebuilt from {run.results}: the best by {name}/{metric} is {top} ({known[top]:.4g}){but}"


def _read_best(run: RunFolder) -> Best | None:
    """The best checkpoint; None without one, or if best.json is damaged."""
    with contextlib.suppress(UserError):
        best = read_best(run.folder)
        return best if best and best.value is not None else None
    return None


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # no links on this file system
        shutil.copyfile(source, target)
