"""Trainings with AdamW, SGD, clipping and averaged weights: resumed, on two devices, and what uses the averages."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command, setting, train_several
from helpers.tiny import make_run
from helpers.training_results import assert_same_bits, assert_two_devices_train_alike, checkpoint_values, train_smoothly

from model.network.build import build_embedder
from model.run.restore import holds_averages, restore_model
from model.run.run_folder import RunFolder
from model.training.warm_start import warm_start
from runtime.json_files import read_json_lines

STEPS, ENDED, DECAY = 6, 3, 0.6
COMMON = {"train_iterations": STEPS, "save_summary_steps": 1, "save_checkpoints_steps": 1, "save_picture_steps": None}
COMMON |= {"keep_checkpoints": None, "deterministic": True, "clip_norm": 0.5, "ema_decay": DECAY}
COMMON |= {"classification_weight": 0.5, "learning_rate": 1e-2}
KINDS = {
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "freeze_backbone_steps": 1, "backbone_learning_rate": 1e-3},
    "sgd": {"optimizer": "sgd", "head": "gem", "gem_learned": True},
}


SOME = ["adamw", pytest.param("sgd", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Callable[[str], tuple[Path, Path]]:
    """A run of a kind, trained without a break, and another one, ended early and resumed."""

    @functools.cache
    def trained(kind: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp(kind)
        whole, part = (make_run(folder / name, dataset, **COMMON | KINDS[kind]) for name in ("whole", "part"))
        done = train_several(whole, [part, *setting(train_iterations=ENDED)], part)
        assert [result.returncode for result in done] == [0] * 3, [result.stderr for result in done]
        return whole, part

    return trained


def network_of(run: Path, step: int, *, averaged: bool) -> list[np.ndarray]:
    """The weights of backbone and head in a checkpoint, or their averages; read by TensorFlow."""
    model = build_embedder(RunFolder(run).load_params())
    parts = {part: model.get_layer(part) for part in ("backbone", "head")}
    target = tf.train.Checkpoint(**{f"ema_{name}" if averaged else name: part for name, part in parts.items()})
    target.restore(str(run / "checkpoints" / f"ckpt-{step}")).expect_partial().assert_existing_objects_matched()
    return model.get_weights()


@pytest.mark.parametrize("kind", SOME)
def test_resumed_runs_are_equal_bit_for_bit(runs, kind):
    assert_same_bits(*runs(kind), STEPS)


@pytest.mark.parametrize("kind", SOME)
def test_averages_follow_their_formula_and_begin_with_the_initial_weights(runs, kind):
    average = [x.astype(float) for x in network_of(runs(kind)[0], 0, averaged=False)]
    for step in range(STEPS + 1):
        weights, averages = (network_of(runs(kind)[0], step, averaged=averaged) for averaged in (False, True))
        if step:
            d = min(DECAY, step / (9 + step))  # after step number step - 1
            average = [d * a + (1 - d) * x for a, x in zip(average, weights, strict=True)]
        for a, expected in zip(averages, average, strict=True):
            np.testing.assert_allclose(a, expected, rtol=1e-5, atol=1e-6)
    apart = [np.abs(a - x).max() > 1e-4 for a, x in zip(averages, weights, strict=True)]
    assert len(apart) >= 10
    assert sum(apart) > len(apart) / 2


@pytest.mark.slow
def test_the_whole_gradient_is_clipped_and_its_norm_logged(runs):
    norms = [line["gradient_norm"] for line in read_json_lines(runs("sgd")[0] / "metrics.jsonl")]
    assert len(norms) == STEPS
    assert norms[0] > COMMON["clip_norm"]
    # The first step of SGD is the clipped gradient times the learning rate.
    moved = [x for name, x in checkpoint_values(runs("sgd")[0], 1).items() if name.startswith("optimizer/_variables")]
    assert len(moved) > 5
    assert np.sqrt(sum(np.sum(x.astype(float) ** 2) for x in moved)) == pytest.approx(1e-2 * COMMON["clip_norm"])


def test_everything_after_training_uses_the_averages(runs):
    averages = [x.tobytes() for x in network_of(runs("adamw")[0], STEPS, averaged=True)]
    model = build_embedder(RunFolder(runs("adamw")[0]).load_params())
    restore_model(runs("adamw")[0] / "checkpoints" / f"ckpt-{STEPS}", model)
    assert [x.tobytes() for x in model.get_weights()] == averages
    model = build_embedder(RunFolder(runs("adamw")[0]).load_params(["seed=1"]))
    assert "(backbone and head)" in warm_start(model, str(runs("adamw")[0]))
    assert [x.tobytes() for x in model.get_weights()] == averages


def test_an_average_begins_and_ends_in_resumed_runs(runs, tmp_path):
    run = Path(shutil.copytree(runs("adamw")[0], tmp_path / "run"))
    none, on = setting(ema_decay=None, train_iterations=STEPS + 1), setting(train_iterations=STEPS + 2)
    done = train_several([run, *none], [run, *on])
    assert [result.returncode for result in done] == [0, 0], [result.stderr for result in done]
    assert "changed since the last start: ema_decay 0.6 -> null" in done[0].stdout
    assert "changed since the last start: ema_decay null -> 0.6" in done[1].stdout
    paths = [run / "checkpoints" / f"ckpt-{STEPS + extra}" for extra in (0, 1, 2)]
    assert [holds_averages(path, path) for path in paths] == [True, False, True]
    before, after = (network_of(run, STEPS + extra, averaged=False) for extra in (1, 2))
    d = min(DECAY, (STEPS + 2) / (STEPS + 11))
    for average, old, new in zip(network_of(run, STEPS + 2, averaged=True), before, after, strict=True):
        np.testing.assert_allclose(average, d * old + (1 - d) * new, rtol=1e-5, atol=1e-6)


def test_a_run_does_not_change_between_adam_and_sgd(runs):
    run, _ = runs("adamw")
    before = sorted((run / "checkpoints").iterdir())
    other = setting(optimizer="sgd", weight_decay=0.0, train_iterations=STEPS + 1)
    done = command("train.py", "--model_dir", run, *other)
    assert done.returncode == 2
    assert 'optimizer "adamw" -> "sgd"' in done.stderr
    assert "warm_start_from" in done.stderr
    assert sorted((run / "checkpoints").iterdir()) == before


def test_the_average_is_whitened_in_the_end(dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset, **COMMON | {"whitening": "end", "head": "direct"})
    (done,) = train_several(run)
    assert done.returncode == 0, done.stderr
    for averaged in (True, False):  # the kernel and bias of the head's only layer
        last, before = (network_of(run, step, averaged=averaged)[-2] for step in (STEPS, STEPS - 1))
        assert (np.abs(last - before).max() > 0.1) == averaged


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_devices_train_like_one(dataset, tmp_path, kind):
    values = COMMON | KINDS[kind] | {"learning_rate": 0.1, "backbone_learning_rate": 0.1}
    one = make_run(tmp_path / "one", dataset, **values)
    assert train_smoothly(one).returncode == 0
    assert_two_devices_train_alike(one, tmp_path / "two", ENDED, STEPS)
