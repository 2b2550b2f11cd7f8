"""Learning-rate schedules."""

import math

import pytest
from helpers.commands import process

from model.configuration.loading import check_params
from model.training.learning_rate import LearningRate


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
from model.training.learning_rate import LearningRate
from model.training.optimizer import make_optimizer

params = check_params({}, "x")
optimizer = make_optimizer(LearningRate(params, 10**6), params)
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
