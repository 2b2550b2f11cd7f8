"""Training of several workers, with real processes on this machine."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.commands import ROOT, command
from helpers.several_workers import ends, free_addresses, start_each
from helpers.tiny import TINY, make_dataset, make_run
from helpers.training_results import checkpoint_values

from runtime.json_files import read_json_lines

OPTIONS = {"train_iterations": 6, "save_summary_steps": 1, "save_picture_steps": 3, "csv_log": True}


def test_two_workers_train_as_one_process(dataset, tmp_path):
    """Also where they share no folder: the second one has only params.json, and resumes with the chief's weights."""
    values = OPTIONS | {"memory_size": 20, "detailed_log": True, "clip_norm": 0.5, "ema_decay": 0.9}
    one = make_run(tmp_path / "one", dataset, **values)
    two = make_run(tmp_path / "two", dataset, **values, distribution="multi_worker")
    assert command("train.py", "--model_dir", one).returncode == 0
    alone = tmp_path / "alone"
    alone.mkdir()
    for last in (4, 6):
        words = ["--set", f"train_iterations={last}", "--params", two / "params.json", "--model_dir"]
        (code, out, errors), (other, other_out, other_errors) = ends(start_each([[*words, two], [*words, alone]]))
        assert (code, other) == (0, 0), errors + other_errors
        assert "on 2 devices of 2 workers" in out
        assert f"done: {last} steps" in other_out
    assert sorted(path.name for path in alone.iterdir()) == ["train.worker1.log"]
    assert not (two / "train.worker1.log").exists()
    mine, theirs = (read_json_lines(run / "metrics.jsonl") for run in (one, two))
    for a, b in zip(mine, theirs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a.keys() == b.keys()
    a, b = (checkpoint_values(run, 6) for run in (one, two))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=1e-4, err_msg=name)


def test_unequal_shares_are_refused_with_the_sizes_that_fit(dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset, distribution="auto")
    addresses = free_addresses(3)
    for number in (0, 1):
        done = command("train.py", "--model_dir", run, "--worker", number, "--workers", addresses)
        assert done.returncode == 2
        assert done.stderr == (
            "error: a batch of 8 images cannot be divided among 3 workers; the nearest sizes are 6 images "
            "(batch_p = 3) or 12 images (batch_p = 6)\n"
        )
    assert [path.name for path in run.iterdir()] == ["params.json"]


@pytest.mark.parametrize(
    ("settings", "words", "message"),
    [
        ({"distribution": "multi_worker"}, [], "nothing names the workers: give --worker 0 --workers host0:2222,"),
        ({}, ["--worker", 0, "--workers", "a:1,b:1"], "--worker is given, but distribution is 'none'; set it to"),
        ({"distribution": "auto"}, ["--worker", 0], "--worker and --workers belong together"),
        (
            {"distribution": "auto", "jit_compile": True},
            ["--worker", 0, "--workers", "a:1,b:1"],
            "jit_compile does not work on several hosts; set it to false",
        ),
    ],
)
def test_mistakes_are_answered_at_once(dataset, tmp_path, settings, words, message):
    done = command("train.py", "--model_dir", make_run(tmp_path / "run", dataset, **settings), *words)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_every_strategy_takes_the_steps_of_one_device(tmp_path, count):
    """With batch norm, memory, classification and centre loss: loss, gradients and weights of five steps."""
    data = make_dataset(tmp_path / "data")
    own = {"batch_p": 6, "memory_size": 20, "classification_weight": 0.5, "center_loss_weight": 0.1}
    params = json.dumps(TINY | own | {"use_batch_norm": True, "dataset": str(data)})
    found = []
    for workers in (1, count):
        addresses, out = free_addresses(workers), tmp_path / str(workers)
        out.mkdir()
        words = [sys.executable, "-m", "helpers.worker_steps", str(out), params]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        started = [subprocess.Popen([*words, str(n), addresses], env=environment, cwd=ROOT) for n in range(workers)]
        assert [process.wait(600) for process in started] == [0] * workers
        found.append([dict(np.load(out / f"{number}.npz")) for number in range(workers)])
    (one,), several = found
    assert len(one) > 8 * 5 * 10  # strategies, steps, variables
    for name in one:
        atol = 1e-4 if "weights" in name else 1e-5
        for worker in several:
            np.testing.assert_allclose(worker[name], one[name], atol=atol, err_msg=name)
            if "weights" in name:
                assert worker[name].tobytes() == several[0][name].tobytes(), name
