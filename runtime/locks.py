"""Locks between processes, also on several hosts that share a folder. The system releases them when a process ends."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from runtime.errors import UserError
from runtime.printable import print_line

_TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
_without_locks: set[Path] = set()  # folders that a note was printed about


@contextlib.contextmanager
def only_one(path: Path, otherwise: str) -> Iterator[None]:
    """Holds a lock file while the block runs.

    Where the file system has no locks at all, the block runs too, after a note on stderr.

    Raises:
        UserError: with the text `otherwise`, when another process holds the lock or has just deleted it.
    """
    with open(path, "w") as file:
        try:
            held = _lock(file, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = held and os.path.samestat(os.fstat(file.fileno()), path.stat())  # else the locked file was deleted
        except FileNotFoundError:
            held = False
        if not held:
            raise UserError(otherwise)
        yield


@contextlib.contextmanager
def in_turn(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Holds a lock file, which is never deleted, while the block runs; waits for it.

    Args:
        path: the file.
        shared: other blocks that share the lock run at the same time; those of `only_one` do not.
    """
    with open(path, "a+") as file:  # a shared lock needs a file that can be read
        _lock(file, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def _lock(file: IO[Any], path: Path, operation: int) -> bool:
    """Locks an open file; whether no other process holds its lock. Lustre, FUSE and NFS may lack either kind."""
    return _attempt([lambda: fcntl.flock(file, operation), lambda: fcntl.lockf(file, operation)], path)


def _attempt(ways: list[Callable[[], object]], path: Path) -> bool:
    """Locks in the first way that the file system has; whether no other process holds the lock. True without any."""
    reason = None
    for way in ways:
        try:
            way()
            return True
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            reason = error.strerror
    if path.parent not in _without_locks:
        _without_locks.add(path.parent)
        note = f"note: {path} cannot be locked on this file system ({reason})"
        print_line(f"{note}; start no second command that writes the same files", error=True)
    return True


class ByteLocks:
    """Locks on the bytes of a file, which need not exist: many locks without a file for each.

    All locks of a process end when it closes the file, wherever it opened it: use one object per file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, open(path, "ab")  # noqa: SIM115 -- `close` closes it

    def take(self, byte: int, count: int = 1) -> bool:
        """Locks these bytes; whether no other process has locked one of them. Those of this process do not count."""
        operation = fcntl.LOCK_EX | fcntl.LOCK_NB
        return _attempt([lambda: fcntl.lockf(self._file, operation, count, byte)], self._path)

    def release(self, byte: int, count: int = 1) -> None:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.lockf(self._file, fcntl.LOCK_UN, count, byte)

    def close(self) -> None:
        self._file.close()
