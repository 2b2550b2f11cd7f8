"""Signals to the workers of a training, and their sudden ends: nothing is lost, and the run ends with the same bits."""

import random
import signal
import time

import pytest
from helpers.commands import wait_for
from helpers.several_workers import ends, start_workers
from helpers.tiny import make_run
from helpers.training_results import assert_same_bits

from runtime.json_files import read_json_lines

pytestmark = pytest.mark.slow
STEPS = 100
OPTIONS = {
    "train_iterations": STEPS,
    "distribution": "multi_worker",
    "deterministic": True,
    "save_checkpoints_steps": 10,
    "save_summary_steps": 1,
    "memory_size": 20,
    "center_loss_weight": 0.1,
}
WITHIN = 30.0  # seconds in which the others must notice that one is gone; TensorFlow's heartbeat takes about 10


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """The run of two workers that nothing interrupts."""
    run = make_run(tmp_path_factory.mktemp("whole") / "run", dataset, **OPTIONS)
    assert [code for code, *_ in ends(start_workers(run, 2))] == [0, 0]
    return run


def last_step(run):
    return max((line["step"] for line in read_json_lines(run / "metrics.jsonl")), default=0)


def start_until(run, step):
    """Starts both workers and waits for a step."""
    workers = start_workers(run, 2)
    wait_for(lambda: last_step(run) >= step, *workers)
    return workers


def test_ten_times_sigterm(dataset, whole, tmp_path):
    run = make_run(tmp_path / "run", dataset, **OPTIONS)
    steps = sorted(random.Random(0).sample(range(3, STEPS - 10), 10))
    for number, step in enumerate(steps):
        chosen = (signal.SIGTERM, signal.SIGUSR1)[number % 2]
        workers = start_until(run, max(step, last_step(run) + 1))
        workers[1].send_signal(chosen)
        (code, out, errors), (other_code, other, other_errors) = ends(workers)
        assert (code, other_code) == (0, 0), errors + other_errors
        assert f"stopped by {chosen.name} of worker 1 at step {last_step(run)} of {STEPS}" in out
        assert f"stopped by {chosen.name} at step {last_step(run)}" in other
    assert [code for code, *_ in ends(start_workers(run, 2))] == [0, 0]
    assert_same_bits(run, whole, STEPS)


@pytest.mark.parametrize("victim", [0, 1])
def test_five_times_sigkill(dataset, whole, tmp_path, victim):
    run = make_run(tmp_path / "run", dataset, **OPTIONS)
    chance, seconds = random.Random(victim), []
    for round_number in range(5):
        workers = start_until(run, 15 * round_number + 3)
        time.sleep(chance.random())
        workers[victim].kill()
        begun = time.monotonic()
        other = workers[1 - victim]
        _, errors = other.communicate(timeout=WITHIN)
        seconds.append(round(time.monotonic() - begun, 1))
        workers[victim].communicate()
        assert other.returncode == 4, errors
        assert f"error: worker {victim} (127.0.0.1:" in errors
        assert "has ended" in errors
        assert "Traceback" not in errors
    print(f"worker {victim} killed: the other ended after {seconds} s")
    assert [code for code, *_ in ends(start_workers(run, 2))] == [0, 0]
    assert_same_bits(run, whole, STEPS)
