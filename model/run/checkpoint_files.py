"""Finds the checkpoint files of a run, and lists them as TensorFlow does. Needs no TensorFlow."""

import os
import re
import shutil
import time
from pathlib import Path

from model.run.best_json import REMEDY, read_best
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.printable import print_line

_LIST = "checkpoint"  # TensorFlow's name
_LISTED = re.compile(r'^(?:all_)?model_checkpoint_paths?: "(.+)"$', re.MULTILINE)
_LINE = re.compile(r'(model_checkpoint_path|all_model_checkpoint_paths): ".+"|\w+_timestamps?: [0-9.e+-]+')
_STEP = re.compile(r".*-([0-9]+)", re.DOTALL)
_OWN = re.compile(r"ckpt-[0-9]+")  # as training names them
_END = re.compile(r"\.index$|\.data-[0-9]+-of-([0-9]+)$")
_LAST_BYTES = (0xDB4775248B80FB57).to_bytes(8, "little")  # of a whole index


class UnreadableCheckpointError(UserError):
    """A checkpoint is missing, damaged or useless; others may be good."""


class NonFiniteError(UserError):
    """The loss or a weight became NaN or infinite."""

    code = 3

    def __init__(self, what: str, last_good: Path | None) -> None:
        super().__init__(f"{what}; lower learning_rate, or check the data; the last good checkpoint is {last_good}")


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The checkpoints of a folder: (step, path without suffix), oldest first.

    These are all that are complete, whether or not TensorFlow's file `checkpoint` lists them: it may be missing or
    damaged. And those that it lists, if any of their files exist: they were complete once.

    Raises:
        UserError: when the folder or the list cannot be read.
    """
    folder = Path(folder)
    try:
        files = [path.name for path in folder.iterdir()]  # once: a run may keep thousands of checkpoints
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror or error}") from error
    ends: dict[str, set[str]] = {}
    for file in files:
        if end := _END.search(file):
            ends.setdefault(file[: end.start()], set()).add(end[0])
    listed = _read_list(folder)[0]
    paths = [folder / name for name in ends if name in listed or _OWN.fullmatch(name)]  # others are the user's
    there = [path for path in paths if path.name in listed or _is_whole(path, ends[path.name])]
    return sorted((step_of(path), path) for path in there)


def is_complete(checkpoint: Path) -> bool:
    """Whether all files of a checkpoint (path without suffix) are there, and its writer had finished.

    TensorFlow writes into `<name>_temp`, moves the data, and then writes the index, whose last bytes never change.
    """
    return _is_whole(checkpoint, _ends_of(checkpoint))


def _is_whole(checkpoint: Path, ends: set[str]) -> bool:
    """As `is_complete`, given the ends of its files."""
    try:
        with open(f"{checkpoint}.index", "rb") as file:
            file.seek(-len(_LAST_BYTES), os.SEEK_END)
            whole = file.read() == _LAST_BYTES
    except OSError:
        return False
    return whole and not _missing(ends) and not Path(f"{checkpoint}_temp").exists()


def files_of(checkpoint: Path) -> list[Path]:
    """The index and the data of a checkpoint (path without suffix), as far as they exist."""
    found = [path for path in checkpoint.parent.glob("*") if path.name.startswith(f"{checkpoint.name}.")]
    return sorted(path for path in found if _END.fullmatch(path.name.removeprefix(checkpoint.name)))


def missing_data(checkpoint: Path) -> Path | None:
    """The first file of data that a checkpoint lacks."""
    end = _missing(_ends_of(checkpoint))
    return Path(f"{checkpoint}{end}") if end else None


def _ends_of(checkpoint: Path) -> set[str]:
    return {path.name.removeprefix(checkpoint.name) for path in files_of(checkpoint)}


def _missing(ends: set[str]) -> str | None:
    """The end of the name of the first file of data that is missing among these."""
    data = ends - {".index"}
    count = max((int(_END.fullmatch(end)[1]) for end in data), default=1)  # type: ignore[index]
    expected = (f".data-{number:05}-of-{count:05}" for number in range(min(count, len(data) + 1)))
    return next((end for end in expected if end not in data), None)


def keep_newest(folder: Path, count: int | None) -> None:
    """Lists the newest checkpoints of a folder, then removes all others; None: lists all.

    Raises:
        UserError: when the list cannot be written, or a file cannot be removed.
    """
    there = [path for _, path in list_checkpoints(folder)]
    kept = there[-(count or len(there)) :]
    _write_list(folder, kept)
    for old in there[: -len(kept)]:
        try:
            for file in reversed(files_of(old)):  # the index, without which there is no checkpoint, first
                file.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"cannot remove {error.filename}: {error.strerror}") from error


def tidy(folder: Path) -> list[str]:
    """Removes what killed trainings left half-written, and rebuilds the list of checkpoints if it is wrong.

    Returns:
        Notes for the log.

    Raises:
        UserError: when the folder cannot be read or changed.
    """
    notes, (listed, sound) = [], _read_list(folder)
    for path in sorted(folder.iterdir()):
        entry, name = path.name, path.name.removesuffix("_temp")
        if name != entry and _OWN.fullmatch(name) and path.is_dir():
            shutil.rmtree(path)
            if name not in listed and not is_complete(folder / name):  # else its writer had finished
                for half in files_of(folder / name):
                    half.unlink()
        elif re.fullmatch(rf"\.{_LIST}\.\d+\.tmp|{_LIST}\.tmp\w+", entry):
            path.unlink()
        elif (end := _END.search(entry)) and sound:  # data without an index
            name = entry[: end.start()]
            if _OWN.fullmatch(name) and name not in listed and not (folder / f"{name}.index").exists():
                path.unlink()
    there = [path for _, path in list_checkpoints(folder)]
    if gone := sorted(listed - {path.name for path in there}, key=lambda name: step_of(Path(name))):
        rest = f"the newest checkpoint is {there[-1].name}" if there else "no checkpoint is left"
        notes.append(f"{folder / _LIST} lists {', '.join(gone)}, but the files are missing; {rest}")
    if there and (not sound or listed != {path.name for path in there}):
        _write_list(folder, there)
        if not gone:
            what = "did not list all checkpoints" if sound else "was missing or damaged"
            names = ", ".join(path.name for path in there)
            notes.append(f"{folder / _LIST} {what}; it was rebuilt from the files: {names}")
    return notes


def once_had_checkpoints(folder: Path) -> bool:
    """Whether a folder without a complete checkpoint once had one: the list has names, or there are files of one.

    Files of step 0 may be from a training that was killed while it saved its first checkpoint.
    """
    steps = (_STEP.fullmatch(path.name.partition(".")[0]) for path in folder.glob("*-*.*"))
    return bool(_read_list(folder)[0]) or any(int(step[1]) > 0 for step in steps if step)


def wait_for_checkpoint(folder: Path, interval: float, timeout: float) -> bool:
    """True once the folder has a checkpoint, checked every `interval` seconds; False after `timeout` without one.

    Raises:
        UserError: when the run folder is deleted meanwhile.
    """
    end = time.monotonic() + timeout
    if not list_checkpoints(folder):
        print_line(f"waiting for the first checkpoint in {folder}")
    while not list_checkpoints(folder):
        check_run_exists(folder.parent)
        if time.monotonic() > end:
            return False
        time.sleep(min(interval, timeout))
    return True


def check_run_exists(run: Path) -> None:
    """Raises a UserError when the run folder was deleted."""
    if not run.is_dir():
        raise UserError(f"{run}: the run folder no longer exists; there is nothing to evaluate")


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name: 1200 for `ckpt-1200`."""
    return int(Path(checkpoint).name.rpartition("-")[2])


def find_checkpoint(run: Path, name: str | None = "latest") -> Path:
    """The path of a run's checkpoint: "latest", "best", "ckpt-1200", or a path such as RUN/checkpoints/ckpt-1200.

    None means the best, or the latest before any evaluation.

    Raises:
        UserError: when there is no such checkpoint; it lists the existing ones. When best.json is needed and damaged.
    """
    run = Path(run)
    listed = [path for _, path in list_checkpoints(run / "checkpoints")]
    if name == "latest" and listed:
        return listed[-1]
    if name in ("best", None) and (best := read_best(run)):
        path = run / "best" / best.checkpoint
        if not _exists(path):
            raise UserError(f"{run / 'best.json'} names {best.checkpoint}, but {path}.index is missing; {REMEDY}")
        return path
    if name is None and listed:
        return listed[-1]
    name = name or "latest"
    for path in (run / "checkpoints" / name, run / "best" / name, Path(name)):
        if _exists(path):
            return path
    best_json = (run / "best.json").exists()
    if not listed and not best_json:
        raise UserError(f"{run}: there is no checkpoint in it yet; train it first: train.py --model_dir {run}")
    have = ", ".join([*(["latest"] if listed else []), *(["best"] if best_json else []), *(p.name for p in listed)])
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


def _read_list(folder: Path) -> tuple[set[str], bool]:
    """The names in TensorFlow's list, and whether it is sound."""
    try:
        text = (folder / _LIST).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return set(), False
    except OSError as error:
        raise UserError(f"{folder / _LIST}: cannot be read: {error.strerror or error}") from error
    names = {Path(name).name for name in _LISTED.findall(text)}
    lines = text.splitlines()
    return {name for name in names if _STEP.fullmatch(name)}, bool(names) and all(map(_LINE.fullmatch, lines))


def _write_list(folder: Path, checkpoints: list[Path]) -> None:
    names = [path.name for path in checkpoints]
    with replace_file(folder / _LIST) as file:
        file.write(f'model_checkpoint_path: "{names[-1]}"\n')
        file.writelines(f'all_model_checkpoint_paths: "{name}"\n' for name in names)


def _exists(checkpoint: Path) -> bool:
    return bool(_STEP.fullmatch(checkpoint.name)) and Path(f"{checkpoint}.index").is_file()
