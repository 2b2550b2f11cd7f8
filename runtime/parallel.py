"""Work in several processes: results in order, a bounded number of waiting tasks."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from runtime.errors import UserError

Result = TypeVar("Result")

_OF_PARENT = (signal.SIGINT, signal.SIGHUP)  # a terminal sends them to workers, too
_AHEAD = 8  # tasks per worker submitted ahead: memory use does not grow with the number of tasks


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lots(things: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Yields tuples of up to `size` things, each a task for one process."""
    rest = iter(things)
    while lot := tuple(islice(rest, size)):
        yield lot


def run_parallel(function: Callable[[Any], Result], arguments: Iterable[Any], workers: int) -> Iterator[Result]:
    """Yields function(argument) in order. With one worker, everything runs in this process.

    Arguments are taken from the iterable only when needed: it may be long and lazy.

    Raises:
        UserError: when a worker process is killed. Exceptions of `function` are raised here too.
    """
    if workers <= 1:
        yield from map(function, arguments)
        return
    # A fork of a process with threads, such as TensorFlow's, can hang; a new process cannot.
    context = multiprocessing.get_context("spawn")
    try:
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_obey_parent)
    except (OSError, ImportError, NotImplementedError):  # a system without semaphores, such as one without /dev/shm
        yield from map(function, arguments)
        return
    under_way: deque[Future[Result]] = deque()
    try:
        for argument in arguments:
            with _holding_signals():
                under_way.append(pool.submit(function, argument))
            if len(under_way) >= _AHEAD * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps because memory ran out; finished work is kept: repeat the command "
            "with fewer --workers"
        ) from error
    finally:
        with _holding_signals():  # a worker that is still starting needs what its parent would take away
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _holding_signals() -> Iterator[None]:
    """Delays Ctrl-C and SIGHUP to the end of the block. Processes started in it ignore them from their beginning.

    They are blocked for this thread only. A signal may reach a library's thread; Python then calls this handler.
    """
    heard: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: heard.append(number)) for number in _OF_PARENT}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in heard:
            signal.raise_signal(one)


def _obey_parent() -> None:
    """Sets up a worker process: its parent handles Ctrl-C and SIGHUP; it ends when the parent ends."""
    for number in _OF_PARENT:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
