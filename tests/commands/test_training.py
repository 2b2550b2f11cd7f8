"""Training from the command line: its files, stopping and resuming, invalid runs."""

import json
import random
import shutil
import signal
import subprocess

import keras
import numpy as np
import pytest
from helpers.commands import ROOT, command, setting, start
from helpers.tiny import make_dataset, make_run
from helpers.training_results import assert_same_bits, events

from model.configuration.loading import check_params
from model.losses.objective import Objective
from model.run.checkpoint_files import NonFiniteError, list_checkpoints
from model.run.event_tags import training_tag
from model.run.run_folder import RunFolder
from model.training.checkpoints import TrainingCheckpoints
from runtime.json_files import read_json_lines


def test_the_files_of_a_finished_run(trained, dataset):
    run = RunFolder(trained)
    assert run.done.read_text() == "4\n"
    resolved = json.loads(run.resolved_json.read_text())
    assert resolved["embedding_size"] == 8
    assert resolved["margin"] == "soft"  # defaults are recorded, too
    assert resolved["versions"]["keras"]
    git = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert (resolved["git_commit"] or "").removesuffix("+changes") == git.stdout.strip()
    assert run.load_trained_params().dataset == str(dataset)
    lines = read_json_lines(run.metrics)
    assert [line["step"] for line in lines] == [1, 2, 4]
    wanted = {"loss", "active_fraction", "hardest_positive", "hardest_negative", "batch_top1", "batch_precision@K-1"}
    wanted |= {"learning_rate", "images_per_second", "data_wait_share"}
    assert wanted <= set(lines[0])
    found = events(run.train_events)
    assert {training_tag(key) for key in wanted} <= set(found)
    assert found["loss/loss"] == [(1, "scalars"), (2, "scalars"), (4, "scalars")]
    assert found["mining/batch"] == [(1, "images")]
    assert found["parameters"] == [(1, "text")]
    log = run.train_log.read_text()
    assert "30 images of 6 identities" in log
    assert "done: 4 steps" in log
    assert not list(trained.glob("*.csv"))  # only with csv_log


def test_a_finished_run_is_not_changed(trained):
    before = {path: path.stat().st_mtime_ns for path in (trained / "checkpoints").iterdir()}
    done = command("train.py", "--model_dir", trained)
    assert done.returncode == 0
    assert "nothing to do" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in (trained / "checkpoints").iterdir()}


def test_a_run_resumed_after_sigterm_equals_an_uninterrupted_one_bit_for_bit(dataset, tmp_path):
    steps = 60
    options = {"train_iterations": steps, "deterministic": True, "save_checkpoints_steps": 1000, "num_channels": [8, 8]}
    options |= {"learning_rate_schedule": "cosine", "warmup_steps": 5, "save_summary_steps": 1}
    whole = make_run(tmp_path / "whole", dataset, **options)
    assert command("train.py", "--model_dir", whole).returncode == 0
    stopped = make_run(tmp_path / "stopped", dataset, **options)
    at = random.randrange(1, 20)
    with start("train.py", "--model_dir", stopped) as process:
        for text in process.stdout:
            if text.startswith("step") and int(text.split()[1].partition("/")[0]) >= at:
                process.send_signal(signal.SIGTERM)
                break
        rest, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "stopping, and saving first" in said
    assert "stopped by SIGTERM at step" in rest
    reached = int(rest.partition("at step ")[2].split()[0])
    assert at <= reached < steps
    assert not (stopped / "DONE").exists()
    again = command("train.py", "--model_dir", stopped)
    assert again.returncode == 0, again.stderr
    assert f"resumed from {stopped}/checkpoints/ckpt-{reached}" in again.stdout
    assert (stopped / "DONE").exists()
    assert_same_bits(whole, stopped, steps)


def test_lines_after_the_last_checkpoint_are_computed_again(run):
    """A killed run has lines of steps that it repeats when it resumes. Each step has one line in the end."""
    words = ["train.py", "--model_dir", run.folder, *setting(train_iterations=6)]
    (run.checkpoints / "ckpt-4.data-00000-of-00001").write_bytes(b"cut short")
    damaged = command(*words)
    assert (damaged.returncode, damaged.stderr.count("\n")) == (2, 1), damaged.stderr
    assert "ckpt-4 cannot be read" in damaged.stderr
    assert "delete its files" in damaged.stderr
    for file in run.checkpoints.glob("ckpt-4.*"):
        file.unlink()
    again = command(*words)
    assert "resumed from" in again.stdout
    assert "ckpt-2" in again.stdout
    assert "changed since the last start: train_iterations 4 -> 6" in again.stdout
    assert run.done.read_text() == "6\n"
    assert [line["step"] for line in read_json_lines(run.metrics)] == [1, 2, 4, 6]


def test_a_warm_start_needs_its_source_only_once(dataset, tmp_path, trained):
    source = shutil.copytree(trained, tmp_path / "source")
    run = make_run(tmp_path / "run", dataset, warm_start_from=str(source))
    first = command("train.py", "--model_dir", run, *setting(train_iterations=2))
    assert "warm start: 12 of 12 variables (backbone and head)" in first.stdout
    shutil.rmtree(source)
    assert command("train.py", "--model_dir", run).returncode == 0


def small_model(folder, rate):
    """A network with dropout, and its checkpoints."""
    backbone = keras.Sequential([keras.layers.Dense(4)], name="backbone")
    head = keras.Sequential([keras.layers.Dropout(rate, seed=3)], name="head")
    model = keras.Sequential([backbone, head])
    model.build((None, 4))
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    objective = Objective(check_params({}, "defaults"), 1)  # without variables
    return model, TrainingCheckpoints(folder, model, objective, optimizer, keep=None)


def test_the_state_of_seed_generators_is_saved(tmp_path):
    """Keras does not save it: dropout would repeat its masks after a restart."""
    x = np.ones((2, 4), np.float32)
    model, checkpoints = small_model(tmp_path, 0.5)
    model(x, training=True)
    checkpoints.save(1)
    following = model(x, training=True).numpy()
    again, checkpoints = small_model(tmp_path, 0.5)
    assert checkpoints.restore() == 1
    np.testing.assert_array_equal(again(x, training=True).numpy(), following)


def test_weights_that_are_nan_are_not_saved(tmp_path):
    model, checkpoints = small_model(tmp_path, 0.0)
    checkpoints.save(1)
    checkpoints.place = lambda step: f"step {step} (images: a.jpg)"
    model.variables[0].assign(np.full((4, 4), np.nan))
    said = r"NaN or infinite at step 2 \(images: a.jpg\); .*the last good checkpoint is .*ckpt-1"
    with pytest.raises(NonFiniteError, match=said):
        checkpoints.save(2)


def test_only_one_step_and_a_new_run_from_a_file(dataset, tmp_path):
    source = make_run(tmp_path / "source", dataset) / "params.json"
    run = tmp_path / "new run"
    for _ in range(2):  # the second time, the file is the same and nothing is left to do
        done = command("train.py", "--model_dir", run, "--params", source, *setting(only_one_step=True))
        assert done.returncode == 0, done.stderr
    assert (run / "DONE").read_text() == "1\n"
    assert (run / "params.json").read_bytes() == source.read_bytes()
    source.write_text("{}")
    differs = command("train.py", "--model_dir", run, "--params", source)
    assert (differs.returncode, differs.stderr.count("\n")) == (2, 1)
    assert "differs" in differs.stderr


def test_a_second_trainer_is_refused(dataset, tmp_path):
    run = RunFolder(make_run(tmp_path / "run", dataset))
    with run.lock("train"):
        done = command("train.py", "--model_dir", run.folder)
    assert done.returncode == 2
    assert "another train.py is running" in done.stderr


def test_a_loss_that_is_nan_or_infinite_stops_the_run(dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset, learning_rate=1e30, train_iterations=50)
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 3, done.stdout
    assert "at step 2 (images: " in done.stderr
    assert ".jpg" in done.stderr
    assert "the last good checkpoint is" in done.stderr
    assert not (run / "DONE").exists()


@pytest.mark.parametrize("every", [3, 1000])
def test_a_nan_that_is_seen_late_is_told_like_one_that_is_seen_at_once(dataset, tmp_path, every):
    """The loss is read every `save_summary_steps`, but also before a checkpoint: none holds what comes after a NaN."""
    broken = {"learning_rate": 1e30, "train_iterations": 60, "keep_checkpoints": None, "save_picture_steps": None}
    said = []
    cases = ("early", 1, 1), ("later", 1000, every)  # names of one length, as long messages are cut in the middle
    for name, summary, save in cases:
        settings = broken | {"save_summary_steps": summary, "save_checkpoints_steps": save}
        run = RunFolder(make_run(tmp_path / name, dataset, **settings))
        done = command("train.py", "--model_dir", run.folder)
        assert done.returncode == 3, done.stdout
        said.append(done.stderr.partition("; the last good")[0])
        nan = int(done.stderr.partition("at step ")[2].split()[0])
        assert all(step < nan for step, _ in list_checkpoints(run.checkpoints))
        assert f"the last good checkpoint is {list_checkpoints(run.checkpoints)[-1][1]}" in done.stderr
        assert all(line["step"] < nan for line in read_json_lines(run.metrics))
    assert said[0] == said[1]


@pytest.mark.parametrize("variant", [{}, {"precision": "mixed_bfloat16"}, {"jit_compile": True}])
def test_training_learns(tmp_path, variant):
    """Colours are easy: after a few steps the loss is low and the nearest neighbour is right."""
    data = make_dataset(tmp_path / "data", identities=8, images=6)
    options = {"train_iterations": 80, "batch_p": 8, "learning_rate": 3e-3, "save_summary_steps": 40}
    run = make_run(tmp_path / "run", data, keep_checkpoints=2, **options | variant)
    assert command("train.py", "--model_dir", run).returncode == 0
    assert sorted(file.stem for file in (run / "checkpoints").glob("*.index")) == ["ckpt-78", "ckpt-80"]
    first, *_, last = read_json_lines(run / "metrics.jsonl")
    assert last["loss"] < 0.5 * first["loss"]
    assert last["batch_top1"] > 0.9


def test_a_batch_that_cannot_be_divided_among_the_devices(dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset, distribution="mirrored", batch_p=3, batch_k=3)
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 2
    assert "9 images cannot be divided among 2 devices" in done.stderr
