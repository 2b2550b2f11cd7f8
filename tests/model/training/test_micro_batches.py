"""Micro-batches: the loss and the gradients of the whole batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command, setting
from helpers.tiny import make_run
from helpers.training_results import assert_same_bits, assert_two_devices_train_alike, train_smoothly

from model.configuration.loading import check_params
from model.losses import strategies
from model.losses.objective import Objective
from model.network.backbones import basic
from model.network.build import build_network
from model.training.curriculum import phase_at
from model.training.start import check_shares
from model.training.step import TrainStep
from runtime import plugins
from runtime.errors import UserError

HEADS = plugins.choices("model.network.heads")
STRATEGIES = plugins.choices(strategies.__name__)
ALL_TERMS = {"memory_size": 20, "classification_weight": 0.5, "label_smoothing": 0.1, "center_loss_weight": 0.1}
QUICK = ("batch_hard", "basic", "bnneck", "cgd")
BATCH, IDENTITIES = 12, 4
random = np.random.default_rng(0)
IMAGES = [random.integers(0, 256, (BATCH, 16, 16, 3)).astype(np.uint8) for _ in range(2)]
LABELS = tf.repeat(tf.range(IDENTITIES), 3)


def params_of(**values):
    fixed = {"embedding_size": 8, "num_channels": [4, 8], "image_size": 16, "batch_p": 4, "batch_k": 3}
    return check_params(fixed | values, "test")


class Training:
    """A small network that learns by gradient descent: a gradient is a difference of weights."""

    def __init__(self, **values):
        self.params = params_of(**values)
        keras.utils.set_random_seed(1)
        self.network = network = build_network(self.params)
        self.objective = objective = Objective(
            self.params,
            IDENTITIES,
            classified_size=network.classified_size,
            classifier_batch_norm=network.classifier_batch_norm,
        )
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build([*network.embedder.trainable_variables, *objective.trainable_variables])
        self.variables = [*network.embedder.variables, *objective.variables]
        self._step = TrainStep(tf.distribute.get_strategy(), network, objective, optimizer, self.params)

    def step(self, number):
        return self._step(tf.constant(IMAGES[number]), LABELS, number, phase_at(self.params, number))

    def weights(self):
        return [variable.numpy() for variable in self.variables]


def assert_alike(whole, *divided):
    """Two steps, the second one with a filled memory and centres that have moved: each from the same weights."""
    for number in range(2):
        before = whole.weights()
        result = whole.step(number)
        after = whole.weights()
        for other in divided:
            for variable, value in zip(other.variables, before, strict=True):
                variable.assign(value)
            found = other.step(number)
            np.testing.assert_allclose(found.embeddings, result.embeddings, atol=1e-5)
            assert found.names == result.names
            np.testing.assert_allclose(found.scalars, result.scalars, rtol=1e-5, atol=1e-6, err_msg=str(found.names))
            for mine, expected in zip(other.weights(), after, strict=True):
                np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))
        assert any(not np.array_equal(*pair) for pair in zip(before, after, strict=True))


def quick_first(names):
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("strategy", quick_first(STRATEGIES))
def test_every_strategy(strategy):
    given = {"sampling": "triplets"} if strategy == "basic" else ALL_TERMS  # fixed triplets know no memory
    given = given | {"triplet_strategy": strategy, "batch_norm": "frozen", "warm_start_from": "x"}
    assert_alike(Training(**given), Training(**given, micro_batch=3))


@pytest.mark.parametrize("head", quick_first(HEADS))
def test_every_head(head):
    """Also those with batch norm: they see the whole batch."""
    given = {"head": head, "use_batch_norm": False} | ALL_TERMS
    assert_alike(Training(**given), Training(**given, micro_batch=6), Training(**given, micro_batch=1))


@pytest.fixture
def dropout(monkeypatch):
    """Puts dropout into the backbone."""

    def with_dropout(*given):
        plain = build(*given)
        dropped = keras.layers.Dropout(0.3, seed=7)(plain.output)
        return keras.Model(plain.input, dropped, name="backbone")

    build = basic.build
    monkeypatch.setattr(basic, "build", with_dropout)


def test_batch_norm_and_dropout_of_micro_batches(dropout):
    """An oracle with one tape over all micro-batches: gradients, moving statistics and seeds."""
    divided = Training(micro_batch=4)
    before = divided.weights()
    whole = Training()
    for step in range(2):
        with tf.GradientTape() as tape:
            parts = [whole.network.trunk(part, training=True) for part in np.split(IMAGES[step], 3)]
            embeddings, _ = whole.network.of_features(tf.concat(parts, 0))
            loss, _, _ = whole.objective(LABELS, embeddings, tf.constant(step, tf.int64))
        learning = whole.network.embedder.trainable_variables
        for variable, gradient in zip(learning, tape.gradient(loss, learning), strict=True):
            variable.assign_sub(gradient)
        np.testing.assert_allclose(divided.step(step).scalars[0], loss, rtol=1e-5)
    for old, mine, variable in zip(before, divided.weights(), whole.variables, strict=True):
        assert not np.array_equal(mine, old), variable.path
        np.testing.assert_allclose(mine, variable.numpy(), rtol=1e-4, atol=1e-5, err_msg=variable.path)


def test_recomputed_activations_change_nothing(dropout):
    """With batch norm and dropout; also within micro-batches."""
    given = {"head": "bnneck", "recompute": True, "num_channels": [4, 4, 8]} | ALL_TERMS
    assert_alike(Training(**given | {"recompute": False}), Training(**given))
    assert_alike(Training(**given | {"recompute": False, "micro_batch": 4}), Training(**given, micro_batch=4))


@pytest.mark.parametrize(
    ("size", "shares", "said"),
    [
        (5, 1, "micro_batch is 5, which does not divide the 12 images of a batch; set it to 4 or 6"),
        (
            4,
            2,
            "micro_batch is 4, which does not divide the 6 images of a batch on each of 2 devices; set it to 3 or 6",
        ),
        (13, 1, "micro_batch is 13, which does not divide the 12 images of a batch; set it to 12"),
    ],
)
def test_sizes_that_do_not_fit(size, shares, said):
    params = params_of(micro_batch=size)
    with pytest.raises(UserError, match=f"^{said}$"):
        check_shares(params, BATCH, shares, "devices")


def test_a_size_that_does_not_fit_ends_the_command_at_once(dataset, tmp_path):
    done = command("train.py", "--model_dir", make_run(tmp_path / "run", dataset, micro_batch=3))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: micro_batch is 3, which does not divide the 8 images of a batch; set it to 2 or 4\n")


@pytest.mark.slow
def test_two_devices_take_the_steps_of_one(dataset, tmp_path):
    """Of one device with the same micro-batches: the backbone has no batch norm, the head has."""
    given = {"micro_batch": 2, "batch_p": 4, "batch_k": 2, "num_channels": [8, 8], "use_batch_norm": False}
    given |= {"head": "bnneck", "save_summary_steps": 1, "save_picture_steps": None, "deterministic": True}
    one = make_run(tmp_path / "one", dataset, **given, **ALL_TERMS, train_iterations=5, learning_rate=0.03)
    assert train_smoothly(one).returncode == 0
    assert_two_devices_train_alike(one, tmp_path / "two", 5)


@pytest.mark.slow
def test_two_devices_recompute_as_one_trains(dataset, tmp_path):
    """With synchronised batch norm."""
    given = {"recompute": True, "num_channels": [8, 8, 8], "save_summary_steps": 1, "save_picture_steps": None}
    one = make_run(tmp_path / "one", dataset, **given, deterministic=True, train_iterations=5, learning_rate=0.03)
    assert train_smoothly(one).returncode == 0
    assert_two_devices_train_alike(one, tmp_path / "two", 5)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_bits(dataset, tmp_path, dropout):
    given = {"micro_batch": 2, "save_summary_steps": 1, "save_picture_steps": None, "deterministic": True}
    one, two = (make_run(tmp_path / name, dataset, **given) for name in ("one", "two"))
    for run, ends in ((one, [4]), (two, [2, 4])):
        for end in ends:
            done = command("train.py", "--model_dir", run, *setting(train_iterations=end))
            assert done.returncode == 0, done.stderr
    assert_same_bits(one, two, 4)
