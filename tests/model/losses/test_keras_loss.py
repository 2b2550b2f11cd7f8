"""TripletLoss in Keras: `compile`, `fit`, and a saved model that contains it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import process
from helpers.loss_batches import DRAWN, PK, STRATEGIES
from helpers.tensorflow_addons_oracle import load_triplet_losses

from model.losses import TripletLoss
from model.losses.triplet import triplet_loss
from runtime.errors import UserError


def clusters(identities=8, images=6, dimensions=12):
    """Points around one centre per identity, with labels."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(identities), images)
    points = random.normal(size=(identities, dimensions))[labels] + random.normal(size=(len(labels), dimensions))
    return points.astype(np.float32), labels


def compiled(loss, **options):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((12,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(4)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(1e-2), loss=loss, **options)
    return model


COMPILED_ALWAYS = ("batch_hard", DRAWN)


@pytest.mark.parametrize(
    ("strategy", "jit_compile"),
    [(strategy, False) for strategy in STRATEGIES]
    + [pytest.param(s, True, marks=() if s in COMPILED_ALWAYS else pytest.mark.slow) for s in STRATEGIES],
)
def test_every_strategy_trains_a_keras_model_that_can_be_saved(strategy, jit_compile, tmp_path):
    points, labels = clusters()
    model = compiled(TripletLoss(strategy, margin=1.0, metric="sqeuclidean"), jit_compile=jit_compile)
    before = [value.copy() for value in model.get_weights()]
    # The last batch is smaller; each has several images of several identities.
    losses = model.fit(points, labels, batch_size=36, shuffle=False, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert all((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.get_config() == model.loss.get_config()
    np.testing.assert_array_equal(again.predict(points, verbose=0), model.predict(points, verbose=0))
    if strategy != DRAWN:
        assert again.evaluate(points, labels, batch_size=48, verbose=0) == pytest.approx(
            model.evaluate(points, labels, batch_size=48, verbose=0), rel=1e-6
        )


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "cosine"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_batch_of_unknown_size_with_many_chunks(metric, jit_compile):
    """`fit` compiles for (None, D). 300 anchors are three chunks, 40 are one."""
    loss = TripletLoss("batch_hard", 0.3, metric)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 5])], jit_compile=jit_compile)
    def with_gradient(labels, embeddings):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tape.gradient(value, embeddings)

    for size in (300, 40):
        random = np.random.default_rng(size)
        labels, embeddings = random.integers(0, 9, size), random.normal(size=(size, 5)).astype(np.float32)
        value, gradient = with_gradient(labels, embeddings)
        embeddings = tf.constant(embeddings)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            expected, _ = triplet_loss("batch_hard", labels, embeddings, 0.3, metric)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(gradient, tape.gradient(expected, embeddings), atol=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (
            TripletLoss("tf_batch_semi_hard", 1.0, "sqeuclidean"),
            "semihard",
            {"margin": 1.0, "distance_metric": "squared-L2"},
        ),
        (TripletLoss("tf_batch_semi_hard", 0.5, "cosine"), "semihard", {"margin": 0.5, "distance_metric": "angular"}),
        (TripletLoss("batch_hard", 1.0), "hard", {"margin": 1.0, "distance_metric": "L2"}),
        (TripletLoss("batch_hard", "soft"), "hard", {"soft": True, "distance_metric": "L2"}),
    ],
)
def test_fit_gives_the_losses_of_tensorflow_addons(ours, theirs, settings):
    addons = load_triplet_losses()
    loss = getattr(addons, f"triplet_{theirs}_loss")
    points, labels = clusters()
    models = compiled(ours, jit_compile=True), compiled(lambda y, x: loss(y, x, **settings))
    histories = [
        model.fit(points, labels, batch_size=24, shuffle=False, epochs=3, verbose=0).history["loss"] for model in models
    ]
    np.testing.assert_allclose(*histories, rtol=1e-4)  # Addons computes distances in float32


def test_labels_in_a_column_and_labels_that_float32_cannot_distinguish():
    labels, embeddings = PK
    loss = TripletLoss("batch_all", 0.3)
    expected = float(loss(labels, embeddings))
    assert float(loss(labels[:, None], embeddings)) == expected
    assert float(loss(labels.astype(np.float32), embeddings)) == expected
    column = tf.TensorSpec([None, None], tf.int64)  # the shape in tf.data
    unknown = tf.function(loss, input_signature=[column, tf.TensorSpec([None, None])])
    with pytest.raises(UserError, match="known D"):
        unknown(labels[:, None], embeddings)
    unknown = tf.function(loss, input_signature=[column, tf.TensorSpec([None, 6])])
    assert float(unknown(labels[:, None], embeddings)) == pytest.approx(expected)
    assert float(TripletLoss("batch_all", np.float32(0.3))(labels, embeddings)) == pytest.approx(expected)
    far = labels.astype(np.int64) + 2**24
    assert len(set(far.astype(np.float32))) < len(set(far))
    assert float(loss(far, embeddings)) == expected
    model = compiled(loss)
    points, labels = clusters()
    value = model.evaluate(points, labels + 2**24, batch_size=len(points), verbose=0)
    assert value == pytest.approx(model.evaluate(points, labels, batch_size=len(points), verbose=0))


def test_half_precision_is_computed_in_float32():
    labels, embeddings = PK
    half = tf.constant(embeddings, tf.bfloat16)
    loss = TripletLoss("batch_hard", "soft")
    assert loss(labels, half).dtype == tf.float32
    assert float(loss(labels, half)) == float(loss(labels, tf.cast(half, tf.float32)))


def test_batch_sample_draws_again_each_time_and_the_same_by_seed():
    labels, embeddings = PK
    first, same, other = (TripletLoss("batch_sample", seed=seed) for seed in (3, 3, 4))
    values = [float(first(labels, embeddings)) for _ in range(4)]
    assert len(set(values)) > 1
    assert values == [float(same(labels, embeddings)) for _ in range(4)]
    assert values != [float(other(labels, embeddings)) for _ in range(4)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strategy": "batch_hardest"}, "batch_hard, "),
        ({"metric": "manhattan"}, "cityblock"),
        ({"margin": -1}, "margin -1"),
        ({"margin": "hard"}, "margin 'hard'"),
        ({"margin": True}, "margin True"),
        ({"margin": float("inf")}, "margin inf"),
        ({"batch_all_mean": "all"}, "batch_all_mean 'all'"),
    ],
)
def test_a_wrong_setting_is_an_error_when_the_loss_is_made(settings, words):
    with pytest.raises(UserError, match=words):
        TripletLoss(**settings)


def test_invalid_shapes_and_weights():
    labels, embeddings = PK
    loss = TripletLoss()
    for wrong in ((labels, embeddings[:, :, None]), (np.eye(12), embeddings), (labels, embeddings[:, 0])):
        with pytest.raises(UserError, match=r"\(B, D\)"):
            loss(*wrong)
    with pytest.raises(UserError, match="sample_weight"):
        loss(labels, embeddings, np.ones(12))


def test_the_names_of_strategies_are_listed_without_tensorflow():
    code = "import sys, model.losses.strategies; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
