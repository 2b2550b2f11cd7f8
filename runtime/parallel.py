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
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_obey_parent)
    under_way: deque[Future[Result]] = deque()
    try:
        for argument in arguments:
            with _holding_ctrl_c():
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
        with _holding_ctrl_c():  # a worker that is still starting needs what its parent would take away
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _holding_ctrl_c() -> Iterator[None]:
    """Delays Ctrl-C until the block ends. Processes started in the block ignore it, even before `_obey_parent` runs.

    The signal is blocked for this thread only. It may reach a library's thread; Python then calls this handler.
    """
    heard: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _obey_parent() -> None:
    """Sets up a worker process: it ignores Ctrl-C, which the parent handles, and ends when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
