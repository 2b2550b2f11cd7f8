"""Atomic writing of files and folders, and checks of output files."""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from runtime.errors import UserError
from runtime.locks import only_one

# What file systems answer to operations that they do not have.
UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOTTY, errno.EPERM}

_LONG_NAME = 200  # bytes; most file systems allow 255


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an `OSError` in the block, such as a full disk, into a `UserError` that names the file."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # the text of h5py has several lines
        raise UserError(f"cannot write {path}: {reason}") from error


def sync(file: IO[Any]) -> None:
    """Flushes a file to disk, where its file system can."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


@contextlib.contextmanager
def replace_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file in the folder of `path`. It is renamed to `path` if the block ends without an error."""
    path = Path(path)
    temporary = temporary_name(path, f".{os.getpid()}.tmp")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, mode, encoding=encoding, newline=newline) as file:
                yield file
                sync(file)
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the folder may not exist
            temporary.unlink()


def temporary_name(path: Path, ending: str) -> Path:
    """A hidden name next to `path`, for a file that takes its place. It is never too long for the file system."""
    name = path.name
    if len(os.fsencode(name)) > _LONG_NAME:
        name = f"{name[:32]}~{hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()}"
    return path.with_name(f".{name}{ending}")


def find_unfinished(path: Path) -> list[Path]:
    """Temporary files of `replace_file` for this path. Killed processes left them, unless one is writing it now."""
    return list(path.parent.glob(glob.escape(temporary_name(path, ".").name) + "*.tmp"))


def remove_unfinished(path: Path) -> None:
    """Removes what `find_unfinished` finds."""
    for temporary in find_unfinished(path):
        temporary.unlink()


@contextlib.contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder next to `path`. It is renamed to `path` if the block ends without an error.

    An existing folder is replaced as a whole; the caller must check that it may be. Leftovers of a killed process are
    cleaned up first.

    Raises:
        UserError: when the folder cannot be written, or another process is writing it.
    """
    path = Path(path).resolve()
    temporary, old, lock = (temporary_name(path, f".{end}") for end in ("tmp", "old", "lock"))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with only_one(lock, f"{path}: another process is writing it; wait until it ends, or name another folder"):
            _tidy(path, temporary, old)
            try:
                temporary.mkdir()
                yield temporary
                if path.exists():
                    path.rename(old)
                temporary.rename(path)
            finally:
                _tidy(path, temporary, old)
                lock.unlink(missing_ok=True)


def _tidy(path: Path, temporary: Path, old: Path) -> None:
    """Removes the temporary folders. If `path` is missing, the old folder is restored."""
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def check_output(path: Path, flag: str, example: str, inputs: Iterable[Path] = ()) -> None:
    """Checks that a file can be written, before any work is done.

    Args:
        path: the file.
        flag: the option that names it, such as --filename.
        example: a file name that the error message suggests.
        inputs: files that it must not replace.

    Raises:
        UserError: when `path` is a folder, a device or an input, or cannot be written.
    """
    if not path.absolute().parent.is_dir():
        raise UserError(f"{flag} {path}: the folder {path.absolute().parent} does not exist; make it first")
    if path.exists() and not path.is_file():
        raise UserError(f"{flag} {path}: this is a folder or a device; name a file, such as {path / example}")
    if path.exists() and any(path.samefile(file) for file in inputs if file.exists()):
        raise UserError(f"{flag} {path}: this is one of the inputs; name another file")
    probe = temporary_name(path, f".write-test.{os.getpid()}")
    with replace_file(probe) as file:
        file.write("")
    probe.unlink()
