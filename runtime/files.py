"""Files that are either whole or not there, checks of output files, and lock files."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from runtime.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks: there the user must see to it
    fcntl = None

_TRIES = 100  # to lock a file that others delete


@contextlib.contextmanager
def replace_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary neighbour of `path`; it takes the name `path` only if the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # h5py's own text is of many lines
        raise UserError(f"cannot write {path}: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None


def check_output(
    path: Path, flag: str, example: str, inputs: Iterable[Path] = (), only: tuple[str, bytes] | None = None
) -> None:
    """Finds out before any work is done whether a file can be written.

    Args:
        path: the file.
        flag: what named it, such as --filename.
        example: a name that a file in its place might have.
        inputs: files that it must not replace.
        only: the one kind of file that it may replace, its name and how such files begin; None for all kinds.

    Raises:
        UserError: when it is a folder, a device, an input or of another kind, or nothing can be written there.
    """
    if not path.absolute().parent.is_dir():
        raise UserError(f"{flag} {path}: the folder {path.absolute().parent} does not exist; make it first")
    if path.is_dir():
        raise UserError(f"{flag} {path}: it is a folder; name a file in it, such as {path / example}")
    if path.exists() and not path.is_file():
        raise UserError(f"{flag} {path}: it is not a file; name one")
    if path.exists() and any(path.samefile(file) for file in inputs if file.exists()):
        raise UserError(f"{flag} {path}: that is one of the inputs; name another file")
    if only and path.exists():
        kind, signature = only
        with open(path, "rb") as file:
            start = file.read(len(signature))
        if start not in (b"", signature):  # an empty file holds nothing that could be lost
            raise UserError(f"{flag} {path}: it is there and is no {kind} file; name another, or remove it first")
    probe = path.with_name(f".{path.name}.write-test.{os.getpid()}")
    with replace_file(probe) as file:
        file.write("")
    probe.unlink()


@contextlib.contextmanager
def only_one(path: Path, otherwise: str) -> Iterator[None]:
    """Holds a lock file as long as the block runs; the system lets go of it when the process ends.

    Raises:
        UserError: with the text `otherwise`, when another process holds it.
    """
    if fcntl is None:
        yield
        return
    for _ in range(_TRIES):
        with open(path, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(otherwise) from error
            if _is_at(file, path):
                yield
                return
    raise UserError(otherwise)


def _is_at(file: IO[Any], path: Path) -> bool:
    """Whether the open file is still the one of this name: its last holder may have deleted it before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
