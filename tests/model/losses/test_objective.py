"""The additional loss terms and the memory, compared with NumPy loops in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.loss_batches import DRAWN, MINED
from helpers.loss_oracle import oracle
from helpers.metric_names import METRICS

from model.configuration.loading import check_params
from model.losses.auxiliary import CenterLoss, Classification, CrossBatchMemory
from model.losses.objective import Objective
from model.losses.triplet import triplet_loss

D, IDENTITIES = 5, 7
LABELS = np.array([2, 0, 2, 6, 0, 2, 3, 3], np.int32)  # three images, two, one, two
EMBEDDINGS = np.random.default_rng(1).normal(size=(len(LABELS), D)).astype(np.float32)


def params_of(**values):
    return check_params({"embedding_size": D, "margin": 0.3} | values, "test")


def batch(seed, size=8):
    random = np.random.default_rng(seed)
    return random.integers(0, IDENTITIES, size).astype(np.int32), random.normal(size=(size, D)).astype(np.float32)


def with_gradient(function, *watched):
    watched = [tf.convert_to_tensor(x) for x in watched]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = function(*watched)
    return value.numpy(), [gradient.numpy() for gradient in tape.gradient(value, watched)]


def step_of(objective, labels, embeddings, step=0, **options):
    """(loss, values, gradient by the embeddings, total of each anchor) of a step, including `after_step`."""
    labels, embeddings, step = tf.constant(labels), tf.constant(embeddings), tf.constant(step, tf.int64)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        loss, values, of_anchors = objective(labels, embeddings, step, **options)
    objective.after_step(labels, embeddings, step)
    values = {name: float(value) for name, value in values.items()}
    return loss.numpy(), values, tape.gradient(loss, embeddings).numpy(), of_anchors.total.numpy()


# Classification


def normalized(e, weights):
    """Logits, and their backward function, in float64: batch norm, then a linear layer."""
    centred = e - e.mean(axis=0)
    inverse = 1 / np.sqrt((centred**2).mean(axis=0) + 1e-5)
    x = centred * inverse

    def back(upstream):  # (B, I)
        to_x = upstream @ weights.T
        return inverse * (to_x - to_x.mean(axis=0) - x * (to_x * x).mean(axis=0))

    return x @ weights, back


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("temperature", [1.0, 0.25, 3.0])
def test_classification_equals_its_definition(temperature, smoothing):
    params = params_of(classification_weight=1.0, classification_temperature=temperature, label_smoothing=smoothing)
    term = Classification(params, IDENTITIES)
    (weights,) = [x.numpy().astype(float) for x in term.classifier.layers[-1].weights]
    assert weights.shape == (D, IDENTITIES)  # no bias
    value, (gradient,) = with_gradient(lambda e: term(tf.constant(LABELS), e)[0], EMBEDDINGS)

    logits, back = normalized(EMBEDDINGS.astype(float), weights)
    powers = np.exp(logits / temperature)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    targets = np.full((len(LABELS), IDENTITIES), smoothing / IDENTITIES)
    targets[np.arange(len(LABELS)), LABELS] += 1 - smoothing
    assert value == pytest.approx(-(targets * np.log(probabilities)).sum(axis=1).mean(), rel=1e-5)
    expected = back((probabilities - targets) / (temperature * len(LABELS)))
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())

    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    one_hot = np.eye(IDENTITIES)[LABELS]
    assert value == pytest.approx(float(theirs(one_hot, logits / temperature)), rel=1e-5)


def test_classification_accuracy_is_the_share_of_right_answers():
    term = Classification(params_of(), IDENTITIES)
    logits = normalized(EMBEDDINGS.astype(float), term.classifier.layers[-1].weights[0].numpy())[0]
    answers = logits.argmax(axis=1).astype(np.int32)
    for wrong in (0, 3, len(LABELS)):
        labels = np.where(np.arange(len(LABELS)) < wrong, (answers + 1) % IDENTITIES, answers).astype(np.int32)
        accuracy = term(tf.constant(labels), tf.constant(EMBEDDINGS))[1]["classification_accuracy"]
        assert float(accuracy) == pytest.approx(1 - wrong / len(LABELS))


def test_a_half_precision_network_has_its_classifier_in_float32():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        term = Classification(params_of(), IDENTITIES)
    finally:
        keras.config.set_dtype_policy(before)
    logits = normalized(EMBEDDINGS.astype(float), term.classifier.layers[-1].weights[0].numpy())[0]
    np.testing.assert_allclose(term.classifier(tf.constant(EMBEDDINGS), training=True), logits, rtol=1e-4, atol=1e-5)


# Centre loss and lengths


def test_centre_loss_equals_its_definition():
    term = CenterLoss(params_of(), IDENTITIES)
    centers = np.random.default_rng(2).normal(size=(IDENTITIES, D)).astype(np.float32)
    term.variables[0].assign(centers)
    value, (gradient,) = with_gradient(lambda e: term(tf.constant(LABELS), e), EMBEDDINGS)
    differences = [e.astype(float) - centers[label] for label, e in zip(LABELS, EMBEDDINGS, strict=True)]
    assert value == pytest.approx(sum(0.5 * d @ d for d in differences) / len(LABELS), rel=1e-6)
    np.testing.assert_allclose(gradient, np.array(differences) / len(LABELS), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_centres_move_by_equation_4(rate):
    """Wen et al.: c_j -= rate * sum of [y_i = j] (c_j - x_i) / (1 + number of [y_i = j]), batch after batch."""
    term = CenterLoss(params_of(center_loss_rate=rate), IDENTITIES)
    expected = np.zeros((IDENTITIES, D))
    np.testing.assert_array_equal(term.variables[0], expected)
    for labels, embeddings in ((LABELS, EMBEDDINGS), batch(3), batch(4)):
        term.move(tf.constant(labels), tf.constant(embeddings))
        before = expected.copy()
        for j in range(IDENTITIES):
            own = [embeddings[i].astype(float) for i in range(len(labels)) if labels[i] == j]
            expected[j] -= rate * sum((before[j] - x for x in own), np.zeros(D)) / (1 + len(own))
        np.testing.assert_allclose(term.variables[0], expected, rtol=1e-5, atol=1e-6)
    assert not term.trainable_variables


# The whole


@pytest.mark.parametrize("strategy", ["batch_hard", "batch_all", "batch_sample"])
def test_without_weights_it_is_the_triplet_loss_bit_for_bit(strategy):
    objective = Objective(params_of(triplet_strategy=strategy, seed=9), IDENTITIES)
    assert objective.parts == {}
    assert objective.variables == objective.trainable_variables == []
    loss, values, gradient, _ = step_of(objective, LABELS, EMBEDDINGS, step=4)
    expected, (expected_gradient,) = with_gradient(
        lambda e: triplet_loss(strategy, LABELS, e, 0.3, "euclidean", seed=(9, 4))[0], EMBEDDINGS
    )
    assert loss.tobytes() == expected.tobytes()
    assert gradient.tobytes() == expected_gradient.tobytes()
    assert values["triplet_loss"] == pytest.approx(float(loss), rel=1e-6)
    assert loss > 0


def test_batch_sample_draws_again_for_every_step():
    objective = Objective(params_of(triplet_strategy="batch_sample", margin="none"), IDENTITIES)
    losses = {float(step_of(objective, LABELS, EMBEDDINGS, step)[0]) for step in (0, 1, 2, 0)}
    assert len(losses) == 3


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize(
    ("classification", "centre", "variables", "trainable"),
    [(0.7, 0.3, 6, 3), (2.0, 0.0, 5, 3), (0.0, 2.0, 1, 0)],  # gamma, beta, linear; moving mean and variance; centres
)
def test_the_terms_enter_with_their_weights(replicas, classification, centre, variables, trainable):
    params = params_of(classification_weight=classification, center_loss_weight=centre)
    objective, expected = Objective(params, IDENTITIES), {}
    if classification:
        expected["classification_loss"] = float(objective.parts["classification"](LABELS, EMBEDDINGS)[0])
    if centre:
        expected["center_loss"] = float(objective.parts["center_loss"](LABELS, EMBEDDINGS))
    loss, values, gradient, totals = step_of(objective, LABELS, EMBEDDINGS, replicas=replicas)
    triplet, plain_values, plain_gradient, _ = step_of(Objective(params_of(), IDENTITIES), LABELS, EMBEDDINGS)
    weights = {"classification_loss": classification, "center_loss": centre}
    auxiliary = sum(weights[name] * value for name, value in expected.items())
    assert loss == pytest.approx(triplet + auxiliary / replicas, rel=1e-6)
    assert values["triplet_loss"] == pytest.approx(triplet, rel=1e-6)
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert values.keys() - plain_values.keys() - {"classification_accuracy"} == expected.keys()
    assert np.abs(gradient - plain_gradient).max() > 1e-3
    assert len(totals) == len(LABELS)
    assert (len(objective.variables), len(objective.trainable_variables)) == (variables, trainable)


# Memory


def test_the_memory_stays_empty_before_its_step():
    memory = CrossBatchMemory(20, D, start_step=2)
    for step, filled in enumerate([0, 0, 8, 16, 20]):
        memory.add(*map(tf.constant, batch(step)), tf.constant(step, tf.int64))
        held = memory.read()
        assert int(held.filled.numpy().sum()) == filled
    np.testing.assert_array_equal(
        held.embeddings[:4], batch(4)[1][4:]
    )  # wrapped around at the end; step 2 was the first
    np.testing.assert_array_equal(held.embeddings[8:16], batch(3)[1])


@pytest.mark.parametrize(
    ("strategy", "metric", "size"),
    [(strategy, metric, 12) for strategy in MINED for metric in METRICS]
    + [(strategy, "euclidean", size) for strategy in [*MINED, DRAWN] for size in (5, 8, 100)],
)
def test_the_loss_with_memory_is_that_over_both(strategy, metric, size):
    """Three batches fill the memory and join the fourth, without gradient; empty places do not."""
    margin = "soft" if strategy == DRAWN else 0.3  # with "soft", each pair has a different loss
    plain = params_of(triplet_strategy=strategy, margin=margin, metric=metric)
    objective = Objective(plain.model_copy(update={"memory_size": size}), IDENTITIES)
    before = [batch(seed) for seed in range(3)]
    first, alone = (step_of(each, *before[0]) for each in (objective, Objective(plain, IDENTITIES)))
    assert first[0] == pytest.approx(alone[0], rel=1e-6)  # an empty memory changes nothing
    np.testing.assert_allclose(first[2], alone[2], rtol=1e-5, atol=1e-6)
    for step in (1, 2):
        step_of(objective, *before[step], step=step)
    labels, embeddings = batch(7)
    loss, values, gradient, totals = step_of(objective, labels, embeddings, step=3)
    kept = min(size, 3 * 8)
    past = [np.concatenate(parts)[-kept:] for parts in zip(*before, strict=True)]
    both = np.concatenate([labels, past[0]]), np.concatenate([embeddings, past[1]])
    expected, expected_gradient, active, terms = oracle(strategy, *both, margin, metric, anchors=8, drawn=totals)
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient[:8], atol=1e-5 * np.abs(expected_gradient).max())
    assert (values["valid_terms"], values["active_fraction"]) == (terms, pytest.approx(active))
