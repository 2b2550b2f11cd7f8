"""Work in several processes, with results in order and a bounded number of tasks under way."""

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

_AHEAD = 8  # tasks per worker that are handed over before their turn: memory stays the same for a million


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lots(things: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Up to `size` things at a time, for a process to do together."""
    rest = iter(things)
    while lot := tuple(islice(rest, size)):
        yield lot


def run_parallel(function: Callable[[Any], Result], arguments: Iterable[Any], workers: int) -> Iterator[Result]:
    """Yields function(argument) in order; in this process when one worker is enough.

    Arguments are taken from their iterable as they are needed, so that it may be long and lazy.

    Raises:
        UserError: when a worker process is killed. What `function` raises is raised here.
    """
    if workers <= 1:
        yield from map(function, arguments)
        return
    # A forked copy of a process with threads (TensorFlow's) can hang; a fresh one cannot.
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
            "a worker process was killed (for want of memory?); what is finished is kept: run the same command again, "
            "with fewer --workers"
        ) from error
    finally:
        with _holding_ctrl_c():  # a process that is still starting would not find what its parent has taken away
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _holding_ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C wait; a process that is started meanwhile never hears it, not even before `_obey_parent`.

    Blocked here, it may still reach another thread, a library's: then Python asks the handler of this one.
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
    """Set up in a worker process: Ctrl-C is the parent's to handle, and a parent that was killed leaves no worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
