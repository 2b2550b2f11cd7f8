"""Work in several processes: results in order, arguments when needed, and an end that leaves nobody behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.commands import ROOT, environment

from runtime.errors import UserError
from runtime.parallel import _holding_ctrl_c, cores, lots, run_parallel


def square_slowly(number: int) -> int:
    time.sleep(0.05 if number % 4 == 0 else 0)
    return number * number


def process(_: object) -> int:
    return os.getpid()


def fail(number: int) -> int:
    if number == 3:
        raise UserError("a.xml: an object's box is empty")
    if number == 7:
        raise ZeroDivisionError("seven")
    return number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hears_ctrl_c(_: object) -> tuple[bool, bool]:
    """At all, and while it started: what is blocked then is blocked still."""
    started = signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return signal.getsignal(signal.SIGINT) != signal.SIG_IGN, started


def test_results_come_in_order():
    assert list(run_parallel(square_slowly, range(40), 2)) == [number * number for number in range(40)]


def test_arguments_are_taken_as_they_are_needed():
    taken = []
    results = run_parallel(process, (taken.append(i) for i in range(10_000)), 2)
    processes = {next(results) for _ in range(5)}
    assert len(taken) < 50
    assert os.getpid() not in processes
    results.close()  # whoever stops early leaves no process behind
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_to_do(workers):
    assert list(run_parallel(process, [], workers)) == []


def test_one_worker_is_this_process():
    taken = []
    results = run_parallel(process, (taken.append(i) for i in range(100)), 1)
    assert (next(results), len(taken)) == (os.getpid(), 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_function_raises(workers):
    results = run_parallel(fail, range(10), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UserError, match=r"^a\.xml: an object's box is empty$"):
        next(results)
    with pytest.raises(ZeroDivisionError, match="seven"):
        list(run_parallel(fail, [7], workers))
    assert multiprocessing.active_children() == []


def test_a_worker_that_is_killed():
    with pytest.raises(UserError, match=r"a worker process was killed.*fewer --workers") as caught:
        list(run_parallel(die, range(100), 2))
    assert "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


def test_ctrl_c_is_for_the_parent():
    assert set(run_parallel(hears_ctrl_c, range(4), 2)) == {(False, False)}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_ctrl_c_waits_even_if_another_thread_hears_it():
    go, held = threading.Event(), []
    thread = threading.Thread(target=lambda: (go.wait(), signal.pthread_kill(threading.get_ident(), signal.SIGINT)))
    thread.start()

    def hold():
        with _holding_ctrl_c():
            go.set()
            thread.join()
            held.append(True)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            hold()
    finally:
        signal.signal(signal.SIGINT, before)
    assert held == [True]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs Linux")
def test_a_parent_that_is_killed_leaves_no_worker(tmp_path):
    script = f"from test_parallel import nap, run_parallel; list(run_parallel(nap, [{str(tmp_path)!r}] * 4, 2))"
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)])}
    options = {"env": environment() | paths, "start_new_session": True, "stderr": subprocess.DEVNULL}
    parent = subprocess.Popen([sys.executable, "-c", script], **options)
    try:
        assert soon(lambda: len(list(tmp_path.iterdir())) == 2)
        workers = [path.name for path in tmp_path.iterdir()]
        assert all(map(alive, workers))
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert soon(lambda: not any(map(alive, workers)))
    finally:
        parent.kill()


def nap(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def alive(process: str) -> bool:
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())  # empty when it has ended and nobody asked
    except OSError:
        return False


def soon(condition: Callable[[], bool]) -> bool:
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_cores():
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_lots_are_taken_as_they_are_needed():
    taken = []
    things = (taken.append(i) or i for i in range(7))
    parts = lots(things, 3)
    assert next(parts) == (0, 1, 2)
    assert taken == [0, 1, 2]
    assert list(parts) == [(3, 4, 5), (6,)]
    assert list(lots([], 3)) == []
