"""Work in several processes: results in order, arguments when needed, and no leftover processes."""

import multiprocessing
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from helpers.commands import ROOT, environment, start

from runtime.errors import UserError
from runtime.parallel import _holding_signals, lots, run_parallel


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
    if number == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hears_ctrl_c(_: object) -> tuple[bool, bool]:
    """Whether a worker reacts to Ctrl-C, also during its start: a signal blocked at the start stays blocked."""
    started = signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return signal.getsignal(signal.SIGINT) != signal.SIG_IGN, started


@pytest.mark.parametrize("count", [40, 0])
@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(count, workers):
    assert list(run_parallel(square_slowly, range(count), workers)) == [number * number for number in range(count)]


@pytest.mark.parametrize(("workers", "most"), [(1, 5), (2, 49)])
def test_arguments_are_taken_as_they_are_needed(workers, most):
    taken = []
    results = run_parallel(process, (taken.append(i) for i in range(10_000)), workers)
    processes = {next(results) for _ in range(5)}
    assert len(taken) <= most
    assert (os.getpid() in processes) == (workers == 1)  # one worker is this process
    results.close()  # stopping early leaves no process
    assert multiprocessing.active_children() == []


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
        list(run_parallel(fail, range(10, 100), 2))
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
        with _holding_signals():
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


def nap(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def alive(process: Path) -> bool:
    try:
        return bool(Path(f"/proc/{process.name}/cmdline").read_bytes())  # empty if it has ended
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs Linux")
def test_a_parent_that_is_killed_leaves_no_worker(tmp_path):
    script = f"from test_parallel import nap, run_parallel; list(run_parallel(nap, [{str(tmp_path)!r}] * 4, 2))"
    paths = os.pathsep.join(map(str, [ROOT, ROOT / "tests", Path(__file__).parent]))
    options = {"env": environment() | {"PYTHONPATH": paths}, "start_new_session": True, "stderr": subprocess.DEVNULL}
    with start("-c", script, **options) as parent:
        end = time.monotonic() + 30
        while time.monotonic() < end and len([*tmp_path.iterdir()]) < 2:
            time.sleep(0.05)
        workers = [*tmp_path.iterdir()]
        assert len(workers) == 2
        assert all(map(alive, workers))
        parent.kill()
    while any(map(alive, workers)):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_lots_are_taken_as_they_are_needed():
    taken = []
    things = (taken.append(i) or i for i in range(7))
    parts = lots(things, 3)
    assert next(parts) == (0, 1, 2)
    assert taken == [0, 1, 2]
    assert list(parts) == [(3, 4, 5), (6,)]
    assert list(lots([], 3)) == []
