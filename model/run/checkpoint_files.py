"""Finds the checkpoint files of a run. Needs no TensorFlow."""

import re
import time
from pathlib import Path

from runtime.errors import UserError
from runtime.json_files import read_json
from runtime.printable import print_line

_LISTED = re.compile(r'^all_model_checkpoint_paths: "(.*)"$', re.MULTILINE)
_LINE = re.compile(r'(model_checkpoint_path|all_model_checkpoint_paths): ".+"|\w+_timestamps?: [0-9.e+-]+')


class UnreadableCheckpointError(UserError):
    """A checkpoint is missing, damaged or useless; others may be good."""


class NonFiniteError(UserError):
    """The loss or a weight became NaN or infinite."""

    code = 3

    def __init__(self, what: str, last_good: Path | None) -> None:
        super().__init__(f"{what}; lower learning_rate, or check the data; the last good checkpoint is {last_good}")


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The complete checkpoints of a folder: (step, path without suffix), oldest first.

    TensorFlow replaces the file `checkpoint` atomically after a save, so it never lists an incomplete checkpoint.

    Raises:
        UserError: when that file is damaged. (A training that ignored this would start from scratch.)
    """
    file = Path(folder) / "checkpoint"
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    names = _LISTED.findall(text)
    if not names or not all(_LINE.fullmatch(line) for line in text.splitlines()):
        written = sorted(path.with_suffix("") for path in Path(folder).glob("ckpt-*.index"))
        newest = max(filter(_exists, written), key=step_of, default=None)
        remedy = "remove it"
        if newest:
            lines = (f'{key}: "{newest.name}"' for key in ("model_checkpoint_path", "all_model_checkpoint_paths"))
            remedy = f"write two lines into it, {' and '.join(lines)}"
        raise UserError(f"{file}: damaged, the list of checkpoints is missing; {remedy}")
    paths = [Path(folder) / Path(name).name for name in names]
    return sorted((step_of(path), path) for path in paths if _exists(path))


def wait_for_checkpoint(folder: Path, interval: float, timeout: float) -> bool:
    """True once the folder has a checkpoint, checked every `interval` seconds; False after `timeout` without one."""
    end = time.monotonic() + timeout
    if not list_checkpoints(folder):
        print_line(f"waiting for the first checkpoint in {folder}")
    while not list_checkpoints(folder):
        if time.monotonic() > end:
            return False
        time.sleep(min(interval, timeout))
    return True


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name: 1200 for `ckpt-1200`."""
    return int(Path(checkpoint).name.rpartition("-")[2])


def find_checkpoint(run: Path, name: str | None = "latest") -> Path:
    """The path of a run's checkpoint: "latest", "best", "ckpt-1200", or a path such as RUN/checkpoints/ckpt-1200.

    None means the best, or the latest before any evaluation.

    Raises:
        UserError: when there is no such checkpoint; it lists the existing ones.
    """
    run = Path(run)
    listed = [path for _, path in list_checkpoints(run / "checkpoints")]
    best = run / "best" / read_json(run / "best.json")["checkpoint"] if (run / "best.json").is_file() else None
    name = name or ("best" if best else "latest")
    if name == "latest" and listed:
        return listed[-1]
    if name == "best" and best:
        return best
    for path in (run / "checkpoints" / name, run / "best" / name, Path(name)):
        if _exists(path):
            return path
    if not listed and not best:
        raise UserError(f"{run}: there is no checkpoint in it yet; train it first: train.py --model_dir {run}")
    have = ", ".join([*(["latest"] if listed else []), *(["best"] if best else []), *(path.name for path in listed)])
    raise UserError(f"{run}: there is no checkpoint {name!r}; it has {have}")


def find_weights(source: str) -> tuple[str, Path]:
    """The meaning of `warm_start_from`: ("imagenet", ...), ("weights", Keras file) or ("checkpoint", path).

    The path of a checkpoint has no suffix. A run folder means its best checkpoint, or its latest before any evaluation.

    Raises:
        UserError: when nothing has that name.
    """
    path = Path(source)
    if source == "imagenet":
        return "imagenet", path
    if (path / "params.json").is_file():
        return "checkpoint", find_checkpoint(path, None)
    if _exists(path):
        return "checkpoint", path
    if path.is_file() and path.name.endswith((".h5", ".keras")):
        return "weights", path
    raise UserError(
        f"warm_start_from {source!r}: it must be 'imagenet', a Keras weights file (.weights.h5, .h5), "
        f"a run folder, or a checkpoint such as RUN/checkpoints/ckpt-1200"
    )


def _exists(checkpoint: Path) -> bool:
    return Path(f"{checkpoint}.index").is_file() and checkpoint.name.rpartition("-")[2].isdigit()
