"""The best checkpoint of a run, kept where the trainer's rotation cannot reach it."""

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
    """A checkpoint under a second name that stays while the trainer deletes the first; gives its path without suffix.

    Evaluating may take longer than the trainer keeps a checkpoint. Links cost nothing; where there are none, copies.

    Raises:
        UnreadableCheckpointError: when its files are not there any more.
    """
    folder = run.folder / ".evaluating"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        with contextlib.suppress(FileNotFoundError):  # what is missing is asked below
            for source in checkpoint.parent.glob(f"{checkpoint.name}.*"):
                _link_or_copy(source, folder / source.name)
        if not (folder / f"{checkpoint.name}.index").exists() or not list(folder.glob(f"{checkpoint.name}.data-*")):
            raise UnreadableCheckpointError(f"{checkpoint} was deleted before it could be read")
        yield folder / checkpoint.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def best_metric(wanted: str, metrics: dict[str, tuple[str, ...]]) -> tuple[str, str]:
    """(set, metric) that decides which checkpoint is the best.

    Args:
        wanted: the parameter best_metric, `<set>/<metric>` or "auto".
        metrics: the metrics of each set, the most telling one first.

    Raises:
        UserError: when there is no such set or metric.
    """
    if wanted == "auto":
        name = "val_eval" if "val_eval" in metrics else next(iter(metrics))
        return name, metrics[name][0]
    name, slash, metric = wanted.partition("/")
    if not slash or name not in metrics:
        raise UserError(
            f"best_metric {wanted!r}: it must be auto or <set>/<metric>, with a set of {', '.join(metrics)}"
        )
    if metric not in metrics[name]:
        raise UserError(f"best_metric {wanted!r}: that set has {', '.join(metrics[name])}")
    return name, metric


def keep_best(run: RunFolder, checkpoint: Path, name: str, metric: str, metrics: dict[str, dict[str, float]]) -> bool:
    """Keeps a checkpoint in best/ if its figure is higher than the best so far; says whether it did.

    best.json always names files that are whole: they come first, then it is replaced, then older ones go.
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
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
