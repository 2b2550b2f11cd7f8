"""Planned changes: a curriculum, a frozen backbone, two learning rates; also in resumed runs."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import setting, train_several
from helpers.tiny import make_run
from helpers.training_results import assert_same_bits, assert_two_devices_train_alike, train_smoothly

from model.configuration.loading import check_params
from model.losses.objective import Objective
from model.network import heads
from model.network.build import build_network
from model.run.restore import restore_model
from model.run.run_folder import RunFolder
from model.training.cluster import Cluster
from model.training.curriculum import Phase, late_beginnings, phase_at
from model.training.learning_rate import LearningRate
from model.training.optimizer import make_optimizer
from model.training.step import TrainStep
from runtime.errors import UserError
from runtime.json_files import read_json_lines

STEPS, FROZEN, HARD = 8, 3, 5
PLAN = {"triplet_strategy": [[0, "batch_all"], [HARD, "batch_hard"]], "freeze_backbone_steps": FROZEN}
PLAN |= {"learning_rate": 1e-3, "backbone_learning_rate": 1e-4, "classification_weight": 0.5}
PLAN |= {"train_iterations": STEPS, "save_summary_steps": 1, "save_checkpoints_steps": 1, "save_picture_steps": None}
PLAN |= {"deterministic": True}


def params_of(**values):
    return check_params({"embedding_size": 8, "num_channels": [8, 8], "image_size": 16} | values, "test")


def test_phases_of_every_step_and_their_log_lines():
    params = params_of(triplet_strategy=[[0, "batch_all"], [2, "batch_hard"], [5, "hap2s_e"]], freeze_backbone_steps=3)
    names = ["batch_all"] * 2 + ["batch_hard"] * 3 + ["hap2s_e"] * 3
    assert [phase_at(params, step) for step in range(8)] == [Phase(names[i], i < 3) for i in range(8)]
    assert phase_at(params_of(), 10**6) == Phase("batch_hard", False)
    first, second = phase_at(params, 1), phase_at(params, 3)
    assert first.news(None, params) == ["triplet_strategy batch_all", "the backbone is frozen until step 3"]
    assert first.news(first, params) == []
    assert second.news(first, params) == ["triplet_strategy batch_hard", "the backbone is no longer frozen"]
    assert second.news(None, params) == ["triplet_strategy batch_hard"]  # a resumed run
    assert phase_at(params_of(), 0).news(None, params_of()) == []


def test_plans_after_the_last_step_are_noted():
    params = params_of(triplet_strategy=[[0, "batch_all"], [9, "batch_hard"]], freeze_backbone_steps=10)
    assert late_beginnings(params, 11) == []
    assert late_beginnings(params, 9) == [
        "triplet_strategy batch_hard begins at step 9, but training ends at step 9",
        "freeze_backbone_steps is 10, but training ends at step 9",
    ]


@pytest.mark.parametrize("kept", ["train", pytest.param("frozen", marks=pytest.mark.slow)])
def test_a_frozen_backbone_does_not_change_and_learns_later(kept):
    values = {"batch_norm": "frozen", "warm_start_from": "x"} if kept == "frozen" else {}
    params = params_of(freeze_backbone_steps=1, jit_compile=False, **values)
    network, objective = build_network(params), Objective(params, 3)
    model, optimizer = network.embedder, make_optimizer(LearningRate(params, 2), params)
    backbone = model.get_layer("backbone")
    learning = backbone.trainable_variables
    optimizer.build_for(learning, model.trainable_variables)
    step = TrainStep(Cluster(params).strategy, network, objective, optimizer, params)
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (6, 16, 16, 3)).astype(np.uint8))
    labels = tf.constant([0, 0, 1, 1, 2, 2])
    rebuilt = build_network(params).embedder
    rebuilt.set_weights(model.get_weights())
    before = [variable.numpy().tobytes() for variable in backbone.variables]
    result = step(images, labels, 0, phase_at(params, 0))
    assert [variable.numpy().tobytes() for variable in backbone.variables] == before
    np.testing.assert_allclose(result.embeddings, rebuilt(images, training=False), rtol=1e-5, atol=1e-6)
    assert [id(v) for v in backbone.trainable_variables] == [id(v) for v in learning]
    step(images, labels, 1, phase_at(params, 1))
    changed = {v.path for v, old in zip(backbone.variables, before, strict=True) if v.numpy().tobytes() != old}
    norms = {v.path for layer in backbone.layers if "BatchNorm" in type(layer).__name__ for v in layer.variables}
    assert norms
    assert (norms & changed == set()) if kept == "frozen" else (norms <= changed)


def test_a_head_without_weights_and_a_frozen_backbone_are_refused(monkeypatch):
    monkeypatch.setattr("model.network.heads.direct.head", heads.pool)
    params = params_of(freeze_backbone_steps=5)
    with pytest.raises(UserError, match="nothing would learn"):
        TrainStep(Cluster(params).strategy, build_network(params), Objective(params, 3), None, params)


def test_bnneck_learns_by_its_classifier_alone():
    """It has no weights before the triplet loss: its batch norm comes later."""
    values = {"head": "bnneck", "freeze_backbone_steps": 5, "embedding_size": 8, "num_channels": [4, 8]}
    for weight in (0.0, 1.0):
        params = params_of(**values, classification_weight=weight)
        make = (Cluster(params).strategy, build_network(params), Objective(params, 3), None, params)
        if weight:
            TrainStep(*make)
        else:
            with pytest.raises(UserError, match="'bnneck' has no weights before the triplet loss"):
                TrainStep(*make)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    """A planned training, stopped when the backbone begins to learn, and resumed."""
    run = make_run(tmp_path_factory.mktemp("planned") / "run", dataset, **PLAN)
    done = train_several([run, *setting(train_iterations=FROZEN)], run)
    assert [result.returncode for result in done] == [0] * 2, [result.stderr for result in done]
    return run


@pytest.mark.slow
@pytest.mark.parametrize("end", [FROZEN - 1, HARD + 1, STEPS])
def test_runs_resumed_at_any_step_are_equal_bit_for_bit(planned, dataset, tmp_path, end):
    run = make_run(tmp_path / "run", dataset, **PLAN)
    done = train_several([run, *setting(train_iterations=end)], run)
    assert [result.returncode for result in done] == [0] * 2, [result.stderr for result in done]
    assert_same_bits(planned, run, STEPS)


def test_the_backbone_learns_from_its_step_on(planned):
    model = build_network(RunFolder(planned).load_params()).embedder
    backbone, head = [], []  # the weights of every checkpoint
    for step in range(STEPS + 1):
        restore_model(planned / "checkpoints" / f"ckpt-{step}", model)
        backbone.append([weight.numpy() for weight in model.get_layer("backbone").weights])
        head.append(model.get_layer("head").weights[0].numpy())
    assert len(backbone[0]) > 5
    for step in range(1, STEPS + 1):
        same = [np.array_equal(*pair) for pair in zip(backbone[step - 1], backbone[step], strict=True)]
        assert all(same) if step <= FROZEN else not any(same), step
        assert not np.array_equal(head[step - 1], head[step]), step
    rates = [line["backbone_learning_rate"] for line in read_json_lines(planned / "metrics.jsonl")]
    assert rates == pytest.approx([0] * FROZEN + [1e-4] * (STEPS - FROZEN))


def test_the_strategy_changes_at_its_step(planned):
    """batch_all has many terms, batch_hard one per anchor."""
    terms = [line["valid_terms"] for line in read_json_lines(planned / "metrics.jsonl")]
    assert all(count > 8 for count in terms[:HARD])
    assert terms[HARD:] == [8] * (STEPS - HARD)
    log = (planned / "train.log").read_text()
    assert f"step {HARD}: triplet_strategy batch_hard\n" in log
    assert f"note: freeze_backbone_steps is {FROZEN}, but training ends at step {FROZEN}\n" in log  # of the first part


@pytest.mark.slow
def test_two_devices_equal_one(dataset, tmp_path):
    options = PLAN | {"learning_rate": 0.1, "backbone_learning_rate": 0.05, "margin": 1.0}
    one = make_run(tmp_path / "one", dataset, **options)
    assert train_smoothly(one).returncode == 0
    assert_two_devices_train_alike(one, tmp_path / "two", STEPS)
