"""Learning-rate schedules; Adam with two learning rates and a backbone that begins to learn later."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import process

from model.configuration.loading import check_params
from model.training.optimizer import BackboneAdam, LearningRate

SHAPES = [(3, 2), (4,), (2, 2)]  # of the variables; the first two belong to the backbone
B1, B2 = 0.9, 0.999  # Adam's


def gradients(step: int) -> list[np.ndarray]:
    random = np.random.default_rng(step)
    return [random.normal(size=shape).astype(np.float32) for shape in SHAPES]


def adam(start: np.ndarray, place: int, steps: range, rates: list[float], epsilon: float) -> np.ndarray:
    """Algorithm 1 of Kingma & Ba in float64, starting at steps[0], with the epsilon of its last lines."""
    x, m, v = start.astype(float), 0.0, 0.0
    for t, step in enumerate(steps, start=1):
        g = gradients(step)[place].astype(float)
        m, v = B1 * m + (1 - B1) * g, B2 * v + (1 - B2) * g**2
        x = x - rates[step] * np.sqrt(1 - B2**t) / (1 - B1**t) * m / (np.sqrt(v) + epsilon)
    return x


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("frozen", [0, 3])
@pytest.mark.parametrize("backbone_rate", [None, 0.002, 0.3])
def test_it_is_adam_for_each_part(schedule, frozen, backbone_rate, monkeypatch):
    monkeypatch.setattr("model.training.optimizer.EPSILON", 1e-3)
    total, rate = 7, 0.05
    values = {"learning_rate": rate, "learning_rate_schedule": schedule, "warmup_steps": 2}
    values |= {"backbone_learning_rate": backbone_rate, "freeze_backbone_steps": frozen}
    params = check_params(values, "x")
    random = np.random.default_rng(5)
    starts = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
    variables = [keras.Variable(start) for start in starts]
    optimizer = BackboneAdam(LearningRate(params, total), params)
    optimizer.build_for(variables[:2], variables)
    rates = []
    for step in range(total):
        some = slice(2, None) if step < frozen else slice(None)
        tensors = [tf.constant(g) for g in gradients(step)]
        optimizer.apply(tensors[some], variables[some])
        rates.append(optimizer.learning_rates(step))
    head = [each["learning_rate"] for each in rates]
    ratio = 1 if backbone_rate is None else backbone_rate / rate
    for place, variable in enumerate(variables):
        first, scale = (frozen, ratio) if place < 2 else (0, 1)
        expected = adam(starts[place], place, range(first, total), [scale * each for each in head], 1e-3)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-5, atol=2e-6)
    shown = [each.get("backbone_learning_rate") for each in rates]
    if backbone_rate is None and not frozen:
        assert shown == [None] * total
    else:
        assert shown == pytest.approx([0.0] * frozen + [ratio * each for each in head[frozen:]])


def test_with_one_rate_it_is_keras_adam_bit_for_bit_and_is_saved_like_it(tmp_path):
    """So checkpoints of the one fit the other."""
    params = check_params({"learning_rate": 0.05, "warmup_steps": 3}, "x")
    split = check_params({"backbone_learning_rate": 0.01, "freeze_backbone_steps": 2}, "x")
    ends, saved = [], []
    for optimizer in (
        BackboneAdam(LearningRate(params, 9), params),
        keras.optimizers.Adam(LearningRate(params, 9)),
        BackboneAdam(LearningRate(split, 9), split),
    ):
        variables = [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES]
        if isinstance(optimizer, BackboneAdam):
            optimizer.build_for(variables[:2], variables)
        else:
            optimizer.build(variables)
        for step in range(5):
            optimizer.apply([tf.constant(g) for g in gradients(step)], variables)
        ends.append([variable.numpy().tobytes() for variable in [*variables, *optimizer.variables]])
        path = tf.train.Checkpoint(optimizer=optimizer).save(str(tmp_path / f"{len(saved)}"))
        saved.append(tf.train.list_variables(path))
    assert ends[0] == ends[1] != ends[2]
    assert saved[0] == saved[1] == saved[2]
    assert len(saved[0]) > 2 * len(SHAPES)


def rate(step, total=100, **values):
    return float(LearningRate(check_params({"learning_rate": 0.5} | values, "x"), total)(step))


@pytest.mark.parametrize(("step", "expected"), [(0, 1), (59, 1), (60, 1), (80, 0.1), (100, 0.01), (120, 0.01)])
def test_constant_and_exponential_decay_from_a_step(step, expected):
    assert rate(step) == 0.5
    values = {"learning_rate_schedule": "exponential", "decay_start_step": 60, "decay_final_fraction": 0.01}
    assert rate(step, **values) == pytest.approx(0.5 * expected, rel=1e-5)


@pytest.mark.parametrize("step", [0, 20, 45, 70, 100])
def test_cosine_decay(step):
    values = {"learning_rate_schedule": "cosine", "decay_start_step": 20, "decay_final_fraction": 0.1}
    progress = (step - 20) / 80 if step > 20 else 0
    expected = 0.5 * (0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2)
    assert rate(step, **values) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1), (39, 1), (40, 0.1), (69, 0.1), (70, 0.01), (99, 0.01), (500, 0.01)]
)
def test_stepwise_decay(step, expected):
    values = {"learning_rate_schedule": "step", "decay_steps": [40, 70]}
    assert rate(step, **values) == pytest.approx(0.5 * expected, rel=1e-5)
    assert rate(step, total=10, **values) == pytest.approx(0.5 * expected, rel=1e-5)  # independent of the length
    halved = rate(step, **values, decay_factor=0.5, warmup_steps=50)
    passed = (step >= 40) + (step >= 70)
    assert halved == pytest.approx(0.5 * 0.5**passed * min((step + 1) / 50, 1), rel=1e-5)


def test_warm_up_is_linear_and_multiplies_the_decay():
    assert [rate(step, warmup_steps=4) for step in range(6)] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5])
    plain = rate(1, learning_rate_schedule="cosine")
    assert rate(1, learning_rate_schedule="cosine", warmup_steps=4) == pytest.approx(plain / 2)


GROWTH = """
import sys
sys.path.insert(0, "tests")
from helpers.peak_memory import resident
from model.configuration.loading import check_params
from model.training.optimizer import BackboneAdam, LearningRate

params = check_params({}, "x")
optimizer = BackboneAdam(LearningRate(params, 10**6), params)
for step in range(11_000):
    if step == 1000:
        before = resident()
    optimizer.learning_rates(step)
print(resident() - before)
"""


def test_rates_of_many_steps_take_no_memory():
    """TensorFlow keeps Python numbers: 10,000 steps would take 6 MB. In a process of its own: others hold garbage."""
    done = process("-c", GROWTH)
    assert float(done.stdout) < 3, done.stderr
