"""Keeps the best checkpoint of a run in `best/`, where training does not delete it."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from model.run.checkpoint_files import UnreadableCheckpointError, step_of
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import read_json, write_json


@contextlib.contextmanager
def borrowed(run: RunFolder, checkpoint: Path) -> Iterator[Path]:
    """A temporary second name of a checkpoint (path without suffix), which stays if training deletes the first.

    Evaluation may take longer than training keeps a checkpoint. Uses hard links, or copies where links are impossible.

    Raises:
        UnreadableCheckpointError: when its files no longer exist.
    """
    folder = run.folder / ".evaluating"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        with contextlib.suppress(FileNotFoundError):  # missing files are checked below
            for source in checkpoint.parent.glob(f"{checkpoint.name}.*"):
                _link_or_copy(source, folder / source.name)
        if not (folder / f"{checkpoint.name}.index").exists() or not list(folder.glob(f"{checkpoint.name}.data-*")):
            raise UnreadableCheckpointError(f"{checkpoint} was deleted before it could be read")
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
    """Copies a checkpoint to best/ if its metric is higher than the best so far; returns whether it did.

    best.json always names complete files: they are written first, then best.json is replaced, then old files go.
    """
    value = metrics[name][metric]
    if run.best_json.exists():
        best = read_json(run.best_json)
        if (best.get("set"), best.get("metric")) == (name, metric) and best["value"] >= value:
            return False
    run.best.mkdir(exist_ok=True)
    kept = []
    for source in sorted(checkpoint.parent.glob(f"{checkpoint.name}.*")):
        temporary = run.best / f".{source.name}.tmp"
        temporary.unlink(missing_ok=True)
        _link_or_copy(source, temporary)
        temporary.replace(run.best / source.name)
        kept.append(source.name)
    best = {"step": step_of(checkpoint), "checkpoint": checkpoint.name, "set": name, "metric": metric, "value": value}
    write_json(run.best_json, best | {"metrics": metrics})
    for old in run.best.iterdir():
        if old.name not in kept:
            old.unlink()
    return True


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # no links on this file system
        shutil.copyfile(source, target)
