"""Processes that measure, one for each contender: they share no memory and no threads, and take turns."""

import contextlib
import ctypes
import io
import math
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Step = Callable[[], Any]  # what is measured
_START = 300.0  # seconds to start, or for one turn


def reset_peak() -> int | None:
    """Resets the peak of memory to the present level and returns that level; None if the system cannot."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # memory that is free but kept would hide the use of a call
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return memory_of("self", "VmRSS")
    except OSError:
        return None


def memory_of(process: int | str, field: str) -> int:
    """The memory of a process in bytes: VmRSS now, VmHWM at its peak; 0 if unknown."""
    return proc_bytes(f"/proc/{process}/status", field) or 0


def proc_bytes(file: str, field: str) -> int | None:
    """The value of a line `field: number kB` in a file, in bytes; None if there is none."""
    with contextlib.suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None


def machine(threads: int) -> str:
    """Processor, cores, memory, threads."""
    processor, memory = platform.processor() or platform.machine(), proc_bytes("/proc/meminfo", "MemTotal")
    with contextlib.suppress(OSError, IndexError):
        processor = Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].splitlines()[0]
    room = f", {memory / 2**30:.0f} GiB of memory" if memory else ""
    return f"{processor}, {os.cpu_count()} cores{room}; {threads} threads each"


def serve(pipe: Connection, build: Callable[..., Step], arguments: tuple[Any, ...]) -> None:
    """Runs in the process of a contender: answers requests until the pipe is closed.

    It first sends "ready". The answer to ("first",) is the result and cost of one call; the answer to ("time", n) is
    the mean seconds per call of n calls. The answer to a failure is an exception, and the process ends.
    """
    try:
        step = build(*arguments)
        pipe.send("ready")
        while True:
            request, *values = pipe.recv()
            pipe.send(_first(step) if request == "first" else _seconds(step, *values))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        pass
    except MemoryError:
        pipe.send(MemoryError("out of memory"))
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        line = lines[-1].strip() if lines[0] == "in user code:" else lines[0]  # TensorFlow prints the path first
        pipe.send(RuntimeError(f"{type(error).__name__}: {line}"[:120].replace("|", "/")))


def _seconds(step: Step, calls: int) -> float:
    if calls > 1:
        step()  # other contenders have used the caches and the cores meanwhile
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def _first(step: Step) -> dict[str, Any]:
    """The result of a call, its seconds, and the peak of memory above the level before it."""
    before = reset_peak()
    start = time.perf_counter()
    result = step()
    seconds = time.perf_counter() - start
    peak = None if before is None else max(0, memory_of("self", "VmHWM") - before)
    return {"result": result, "seconds": seconds, "peak": peak}


class NotRunError(Exception):
    """Why a contender has no results."""


class Worker:
    """The process of one contender, as seen by its parent."""

    def __init__(self, build: Callable[..., Step], arguments: tuple[Any, ...], memory_limit: float = math.inf):
        """`build` makes the step there from `arguments`; both are pickled."""
        spawn = multiprocessing.get_context("spawn")  # a fork would share the parent's memory
        self.pipe, other = spawn.Pipe()
        self.process = spawn.Process(target=serve, args=(other, build, arguments), daemon=True)
        self.process.start()
        other.close()  # otherwise the pipe would not show the end of the process
        self.memory_limit = memory_limit

    def ask(self, request: tuple | None, seconds: float) -> Any:
        """The answer to a request; for None, the first message "ready".

        Raises:
            NotRunError: when there is no answer within the limits of time and memory.
        """
        end = time.monotonic() + seconds
        try:
            if request is not None:
                self.pipe.send(request)
            while not self.pipe.poll(0.1):
                if memory_of(self.process.pid, "VmRSS") > self.memory_limit:
                    raise NotRunError(f"stopped: needs more than {self.memory_limit / 1e9:.3g} GB")
                if time.monotonic() > end:
                    raise NotRunError(f"stopped: takes more than {seconds:.0f} s")
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(5)
            code = self.process.exitcode
            raise NotRunError(f"failed: the process ended with {code}" + " (out of memory?)" * (code == -9)) from None
        if isinstance(answer, Exception):
            raise NotRunError(f"failed: {answer}")
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call in a process of its own, which prints nothing. Its exceptions are raised here."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_silently, (function, arguments))


def _silently(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


def in_turn(
    contenders: dict[str, tuple[Callable[..., Step], tuple[Any, ...]]], rounds: int, turn: float = 1.0
) -> dict[str, list[float]]:
    """Seconds per call in each round, by contender: in every round each has a turn of about `turn` seconds.

    Raises:
        NotRunError: when a contender fails, or takes more than five minutes to start.
    """
    workers: dict[str, Worker] = {}
    calls: dict[str, int] = {}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    try:
        for name, (build, arguments) in contenders.items():
            workers[name] = Worker(build, arguments)
        for worker in workers.values():
            worker.ask(None, _START)
        for name, worker in workers.items():
            worker.ask(("time", 1), _START)  # traces, compiles
            calls[name] = math.ceil(turn / worker.ask(("time", 1), _START))
        for _ in range(rounds):
            for name, worker in workers.items():
                seconds[name].append(worker.ask(("time", calls[name]), _START))
    finally:
        for worker in workers.values():
            worker.close()
    return seconds
