"""Training options: every strategy with every sampling, several devices, loss terms, the collapse alarm."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, setting
from helpers.tiny import make_run
from helpers.training_results import assert_two_devices_train_alike, checkpoint_values, train_smoothly
from PIL import Image

from model.run.triples_file import load_triples
from model.training.detailed_log import read_detailed_log
from runtime import plugins
from runtime.json_files import read_json_lines

STRATEGIES = plugins.choices("model.losses.strategies")
SAMPLINGS = ("pk", "uniform", "triplets")
FITTING = [(s, k) for s in STRATEGIES for k in SAMPLINGS if s != "basic" or k == "triplets"]
# The fast tests have every strategy and every sampling, but not every combination.
QUICK = {(s, "triplets" if s == "basic" else SAMPLINGS[i % 3]) for i, s in enumerate(STRATEGIES)}
TERMS = {"memory_size": 20, "classification_weight": 0.5, "classification_temperature": 0.5, "center_loss_weight": 0.1}


def train(run: Path, *words: object) -> str:
    """Trains a run and returns its output."""
    done = command("train.py", "--model_dir", run, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused_as_another_architecture(run: Path, *words: object) -> None:
    done = command("train.py", "--model_dir", run, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert "a checkpoint of another architecture" in done.stderr
    assert "parameters of network and loss" in done.stderr


# Strategies and samplings


@pytest.mark.parametrize(
    ("strategy", "sampling"),
    [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow) for pair in FITTING],
)
def test_every_strategy_trains_on_every_sampling(dataset, tmp_path, strategy, sampling):
    options = {"train_iterations": 2, "save_summary_steps": 1, "detailed_log": True, "save_picture_steps": 1}
    run = make_run(tmp_path / "run", dataset, triplet_strategy=strategy, sampling=sampling, **options)
    train(run)
    lines = read_json_lines(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    assert all(np.isfinite(value) for line in lines for value in line.values())
    log = read_detailed_log(run / "detailed")
    assert log.emb.shape == (2, 6 if sampling == "triplets" else 8, 8)
    identities = np.array([Path(path).parent.name for path in log.paths])[log.images]
    if sampling == "pk":
        assert (identities[:, ::2] == identities[:, 1::2]).all()
    if sampling == "triplets":
        assert (identities[:, ::3] == identities[:, 1::3]).all()
        assert (identities[:, ::3] != identities[:, 2::3]).all()
    if sampling != "uniform":  # a uniform batch may have no triplet
        assert lines[0]["loss"] > 0
        before, after = (checkpoint_values(run, step) for step in (0, 2))
        assert any(not np.array_equal(before[name], after[name]) for name in before if name.startswith("backbone/"))
    if strategy == "basic":
        assert [line["valid_terms"] for line in lines] == [2, 2]
        others = np.delete(log.anchor_losses, [0, 3], axis=1)
        assert not others.any()


# Two devices


PAIRS = {
    "terms": TERMS | {"triplet_strategy": "batch_all"},
    "batch_hard": {"triplet_strategy": "batch_hard"},
    "tf_batch_semi_hard": {"triplet_strategy": "tf_batch_semi_hard"},
    "6 images": {"sampling": "triplets", "triplet_strategy": "basic"},
    "12 images, hard": {
        "sampling": "triplets",
        "triplet_strategy": "basic",
        "triplet_mining": "hard",
        "batch_k": 3,
        "train_iterations": 10,  # an epoch has 8
    },
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "terms" else pytest.mark.slow) for name in PAIRS]
)
def test_two_devices_equal_one(dataset, tmp_path, name):
    # With a margin of 1 some triplets are inactive, so the counts of the replicas differ.
    options = {"margin": 1.0, "learning_rate": 0.1, "detailed_log": True, "save_summary_steps": 1}
    one, two = make_run(tmp_path / "one", dataset, **options | PAIRS[name]), tmp_path / "two"
    assert train_smoothly(one).returncode == 0
    last = PAIRS[name].get("train_iterations", 4)
    # Each device has a copy of memory and centres; the second start must restore both.
    ends = [2, last] if name == "terms" else [last]
    assert_two_devices_train_alike(one, two, *ends, atol=2e-5 if name in STRATEGIES else 1e-4)
    assert 0 < read_json_lines(one / "metrics.jsonl")[-1]["active_fraction"] < 1 or "images" in name
    logs = [read_detailed_log(run / "detailed") for run in (one, two)]
    np.testing.assert_array_equal(logs[0].images, logs[1].images)
    np.testing.assert_allclose(logs[0].anchor_losses, logs[1].anchor_losses, atol=1e-3)
    if name == "terms":
        values = checkpoint_values(two, last)
        assert values["memory/_added/.ATTRIBUTES/VARIABLE_VALUE"] == last * 8
        assert any("_centers" in key and np.abs(value).max() > 0 for key, value in values.items())
    if PAIRS[name].get("triplet_mining") == "hard":
        for epoch in (0, 1):
            np.testing.assert_array_equal(*(load_triples(run / "triples", epoch) for run in (one, two)))


# Memory and terms


def test_parts_can_be_dropped_but_not_added(dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset, **TERMS)
    train(run)
    refused_as_another_architecture(run, *setting(train_iterations=6, memory_size=5))
    dropped = {"memory_size": 0, "classification_weight": 0, "center_loss_weight": 0}
    assert "changed since the last start: memory_size 20 -> 0" in train(run, *setting(train_iterations=6, **dropped))
    assert [line["step"] for line in read_json_lines(run / "metrics.jsonl")] == [1, 2, 4, 6]
    for part in dropped:
        refused_as_another_architecture(run, *setting(train_iterations=8, **dropped | {part: TERMS[part]}))


@pytest.mark.slow
def test_memory_and_classification_compiled_by_xla(dataset, tmp_path):
    runs = []
    for compiled in (True, False):
        options = TERMS | {"jit_compile": compiled, "triplet_strategy": "batch_all"}
        run = make_run(tmp_path / f"{compiled}", dataset, **options)
        train(run)
        runs.append(read_json_lines(run / "metrics.jsonl"))
    assert runs[0][0]["classification_loss"] == pytest.approx(runs[1][0]["classification_loss"], rel=1e-4)
    assert runs[0][-1]["valid_terms"] > runs[0][0]["valid_terms"]  # the memory is full


# Trainings that fail


def test_embeddings_that_cannot_be_mined_stop_the_run(dataset, tmp_path):
    options = {"sampling": "triplets", "triplet_strategy": "basic", "triplet_mining": "hard"}
    options |= {"learning_rate": 1e30, "use_batch_norm": False, "batch_p": 6, "batch_k": 15}  # an epoch is one step
    run = make_run(tmp_path / "run", dataset, **options)
    done = command("train.py", "--model_dir", run)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "no triples can be mined at step 1: embeddings or their distances are NaN or infinite" in done.stderr
    assert f"the last good checkpoint is {run}/checkpoints/ckpt-0" in done.stderr
    assert not (run / "checkpoints" / "ckpt-1.index").exists()


@pytest.mark.parametrize("rate", [100, pytest.param(1e-3, marks=pytest.mark.slow)])
def test_only_a_broken_training_gives_a_warning(own_dataset, tmp_path, rate):
    random = np.random.default_rng(3)
    for file in sorted((own_dataset / "images").rglob("*.jpg")):
        if rate == 100:  # noise, so nothing can be learned
            Image.fromarray(random.integers(0, 256, (24, 24, 3)).astype(np.uint8)).save(file)
    run = make_run(tmp_path / "run", own_dataset, learning_rate=rate, train_iterations=120, save_summary_steps=20)
    out = train(run)
    lines = (run / "train.log").read_text().splitlines()
    warnings = [line.split(" ", 2)[2] for line in lines if " warning: " in line or " note: " in line]
    assert len(warnings) == (rate == 100)
    for warning in warnings:
        assert re.match("warning: (collapsed|diverged): .* for 100 steps, at step", warning)
        assert "remedies: lower learning_rate" in warning
        assert warning in out
