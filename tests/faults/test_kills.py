"""Ends of a process: a closed terminal, a reader that ends, kills at any moment. Nothing finished is lost."""

import itertools
import os
import pty
import signal
import subprocess
import time

import pytest
from helpers.commands import command, environment, process, start, wait_for
from helpers.tiny import make_run
from helpers.training_results import assert_same_bits

from model.run.checkpoint_files import list_checkpoints
from runtime.json_files import read_json_lines

pytestmark = pytest.mark.slow
STEPS = 60
OPTIONS = {"train_iterations": STEPS, "deterministic": True, "save_checkpoints_steps": 1000, "save_summary_steps": 1}


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """The records and weights of a training that nothing interrupts."""
    run = make_run(tmp_path_factory.mktemp("whole") / "run", dataset, **OPTIONS)
    assert command("train.py", "--model_dir", run).returncode == 0
    return run


def reached(run):
    return len(read_json_lines(run / "metrics.jsonl")) >= 5


def check_resumed(run, whole, saved):
    """The run resumes from `saved` or later, and ends as if nothing had happened."""
    step, _ = list_checkpoints(run / "checkpoints")[-1]
    assert step >= saved
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 0, done.stderr
    assert_same_bits(run, whole, STEPS)


def test_the_terminal_is_closed(dataset, whole, tmp_path):
    """A real one: the process loses its output, and gets SIGHUP, perhaps twice."""
    run = make_run(tmp_path / "run", dataset, **OPTIONS)
    mine, terminal = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    with start("train.py", "--model_dir", run, **streams, start_new_session=True) as trainer:
        os.close(terminal)
        while not reached(run):  # a terminal that nobody reads is full soon
            os.read(mine, 2**16)
        os.close(mine)
        for _ in range(2):
            trainer.send_signal(signal.SIGHUP)
        assert trainer.wait(120) == 0
    assert "stopped by SIGHUP at step" in (run / "train.log").read_text()
    check_resumed(run, whole, 5)


@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
def test_the_reader_of_the_output_ends(dataset, whole, tmp_path, stream):
    run = make_run(tmp_path / "run", dataset, **OPTIONS)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT if stream == "both" else subprocess.PIPE}
    with start("train.py", "--model_dir", run, **streams) as trainer:
        if stream == "stderr":  # nothing is written to it: the training continues
            trainer.stderr.close()
            assert f"done: {STEPS} steps" in trainer.stdout.read()
        else:
            list(itertools.islice(trainer.stdout, 8))
            trainer.stdout.close()
        assert trainer.wait(120) == 0
        assert stream != "stdout" or "Traceback" not in trainer.stderr.read()
    if stream != "stderr":
        assert "stopped by SIGPIPE at step" in (run / "train.log").read_text()
    check_resumed(run, whole, 1)


def test_nohup_goes_on(dataset, tmp_path):
    """Without a reader, too: the user wants it to outlive the terminal."""
    run = make_run(tmp_path / "run", dataset, **OPTIONS)
    words = ["nohup", "python", "train.py", "--model_dir", str(run)]
    with start("-c", f"import os, sys; os.execvp('nohup', ['nohup', sys.executable, *{words[2:]!r}])") as trainer:
        list(itertools.islice(trainer.stdout, 6))
        trainer.send_signal(signal.SIGHUP)
        trainer.stdout.close()
        assert trainer.wait(120) == 0
    assert f"done: {STEPS} steps" in (run / "train.log").read_text()


def test_ctrl_c_is_delivered_twice(dataset, whole, tmp_path):
    run = make_run(tmp_path / "run", dataset, **OPTIONS)
    with start("train.py", "--model_dir", run) as trainer:
        wait_for(lambda: reached(run), trainer)
        for _ in range(3):
            trainer.send_signal(signal.SIGINT)
            time.sleep(0.02)
        output, errors = trainer.communicate(timeout=120)
    assert trainer.returncode == 0, errors
    assert "stopped by SIGINT at step" in output
    check_resumed(run, whole, 5)


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.2])
def test_a_kill(dataset, whole, tmp_path, moment):
    """Also while a checkpoint is written: they are written all the time."""
    run = make_run(tmp_path / "run", dataset, **OPTIONS | {"save_checkpoints_steps": 1})
    with start("train.py", "--model_dir", run) as trainer:
        wait_for(lambda: reached(run), trainer)
        time.sleep(moment)
        trainer.kill()
        trainer.communicate()
    check_resumed(run, whole, 3)


@pytest.mark.parametrize("end", ["SIGHUP", "pipe"])
def test_other_commands_end_without_words(trained, dataset, tmp_path, end):
    """And work when they are repeated."""
    commands = [
        ["evaluate.py", "--model_dir", trained, "--set", f"dataset={dataset}"],
        ["-m", "dataset.prepare.folder", "--images", dataset / "images", "--out", tmp_path / "data"],
        ["embed.py", "--model_dir", trained, "--dataset", dataset / "images", "--filename", tmp_path / "out.h5"],
    ]
    for words in commands[1:] if end == "pipe" else commands[2:]:
        if end == "pipe":
            reading, writing = os.pipe()
            os.close(reading)
            with start(*words, stdout=writing) as started:
                os.close(writing)
                _, errors = started.communicate(timeout=120)
            assert started.returncode == 128 + signal.SIGPIPE, errors
        else:
            with start(*words) as started:
                started.stdout.readline()
                started.send_signal(signal.SIGHUP)
                _, errors = started.communicate(timeout=120)
            assert started.returncode in (0, 128 + signal.SIGHUP), errors
        assert "Traceback" not in errors
        assert "rror" not in errors
        again = process(*words, env=environment())
        assert again.returncode == 0, again.stderr
