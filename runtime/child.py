"""Work that may crash, hang or take too much memory, such as reading damaged files by a C library, in a process apart.

The process is forked by a server that has loaded what it needs: the first call takes half a second, others some
milliseconds.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runtime.errors import UserError

_LONGEST = 3600  # seconds of work altogether: ends a process whose parent was killed
_START = 300  # seconds until the process runs; loading libraries from a network disk is slow
_PRELOADED = ["numpy", "h5py", "scipy.io"]
_starting = threading.Lock()
_context = multiprocessing.get_context("forkserver")


class ChildError(Exception):
    """The process ended without an answer. The message says how: it crashed, took too long, or too much memory."""


def run_in_child(
    function: Callable[..., Iterator[Any]], *arguments: Any, seconds: float, memory: int = 2**31
) -> Iterator[Any]:
    """Yields what `function(*arguments)` yields in a process of its own. All must be picklable.

    Args:
        function: a generator function of a module.
        seconds: the longest time between two values.
        memory: bytes that the process may take.

    Raises:
        ChildError: when the process crashes, or exceeds the time or the memory.
        Exception: what the function raises.
    """
    if multiprocessing.current_process().daemon:  # it may have no processes of its own
        yield from function(*arguments)
        return
    _context.set_forkserver_preload(_PRELOADED)
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=_serve, args=(theirs, memory, function, arguments), daemon=True)
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")  # else the process would import the command first
        try:
            process.start()
        finally:
            sys.modules["__main__"] = main
    theirs.close()
    try:
        _receive(ours, process, _START)  # it runs
        while True:
            kind, value = _receive(ours, process, seconds)
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        process.kill()
        process.join()
        ours.close()


def _receive(connection: Connection, process: Any, seconds: float) -> tuple[str, Any]:
    try:
        if connection.poll(seconds):
            return connection.recv()
    except (EOFError, ConnectionError):
        process.join()
        code = process.exitcode or 0
        how = f"it crashed with {signal.Signals(-code).name}" if code < 0 else f"it ended with {code}"
        raise ChildError(how) from None
    raise ChildError(f"it took more than {seconds:g} seconds")


def _serve(connection: Connection, memory: int, function: Callable[..., Iterator[Any]], arguments: Any) -> None:
    """The process: sends ("value", value) for each value, then ("end", None) or ("error", exception)."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a crashing library prints
    _limit(memory)
    try:
        connection.send(("start", None))
        for value in function(*arguments):
            connection.send(("value", value))
        connection.send(("end", None))
    except UserError as error:
        connection.send(("error", error))
    except MemoryError:
        connection.send(("error", ChildError(f"it needs more than {memory:,} bytes of memory")))
    except Exception as error:  # a library's exceptions may not be picklable
        connection.send(("error", ValueError(f"{type(error).__name__}: {error}")))
    finally:
        connection.close()


def _limit(memory: int) -> None:
    """Bounds this process, in case that its parent is killed and cannot end it. Not all systems have these limits."""
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for kind, most in ((resource.RLIMIT_CPU, _LONGEST), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
