"""Checkpoints that are written while training continues."""

import contextlib
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.configuration.loading import check_params
from model.losses.objective import Objective
from model.network.build import build_network
from model.training import checkpoint_writer
from model.training.average import WeightAverage
from model.training.checkpoints import TrainingCheckpoints
from runtime.errors import UserError
from runtime.plain_paths import plain_path

ALL = {"memory_size": 16, "classification_weight": 1.0, "center_loss_weight": 0.1, "ema_decay": 0.9, "image_size": 16}


@pytest.fixture
def training(tmp_path):
    """A network with everything that a checkpoint may hold, and its checkpoints."""
    params = check_params(ALL | {"num_channels": [4], "head": "bnneck", "embedding_size": 4}, "test")
    network = build_network(params)
    objective = Objective(
        params, 5, classified_size=network.classified_size, classifier_batch_norm=network.classifier_batch_norm
    )
    optimizer = keras.optimizers.Adam()
    optimizer.build([*network.embedder.trainable_variables, *objective.trainable_variables])
    average = WeightAverage(build_network(params), network.embedder, 0.9)
    checkpoints = TrainingCheckpoints(tmp_path, network.embedder, objective, optimizer, None, average)
    checkpoints.save(1)
    return network.embedder, checkpoints


@pytest.fixture
def held(monkeypatch):
    """The thread writes nothing before this is set."""
    event = threading.Event()

    @contextlib.contextmanager
    def slow_path(path):
        assert event.wait(60)
        with plain_path(path) as plain:
            yield plain

    monkeypatch.setattr(checkpoint_writer, "plain_path", slow_path)
    return event


def content(path):
    reader = tf.train.load_checkpoint(str(path))
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}


def test_a_file_has_the_state_of_its_step(training, tmp_path, held):
    model, checkpoints = training
    random = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(random.normal(size=variable.shape))
    before = model.get_weights()
    checkpoints.begin(2)
    expected = tmp_path / "by TensorFlow"
    checkpoints._checkpoint.write(str(expected))
    assert not list(tmp_path.glob("ckpt-2*"))
    for variable in model.variables:
        variable.assign(tf.zeros_like(variable))  # training continues
    held.set()
    assert checkpoints.latest == tmp_path / "ckpt-2"
    found, wanted = content(tmp_path / "ckpt-2"), content(expected)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    assert checkpoints.restore() == 2
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert sorted(path.name.partition(".")[2] for path in tmp_path.glob("ckpt-2*")) == ["data-00000-of-00001", "index"]


def test_an_error_of_the_thread_is_reported(training, tmp_path):
    _, checkpoints = training
    for step, tell in ((2, lambda: checkpoints.save(3)), (4, lambda: checkpoints.begin(5)), (6, checkpoints.check)):
        (tmp_path / f"ckpt-{step}.data-00000-of-00001" / "in the way").mkdir(parents=True)
        checkpoints.begin(step)
        checkpoints.close()
        with pytest.raises(UserError, match=f"cannot write .*ckpt-{step}"):
            tell()
        checkpoints.check()  # an error is reported once
    checkpoints.save(7)
    assert checkpoints.latest == tmp_path / "ckpt-7"
