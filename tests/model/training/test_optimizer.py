"""Adam, AdamW and SGD with two learning rates, a backbone that begins to learn later, and clipping."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.configuration.loading import check_params
from model.configuration.params import Params
from model.training.learning_rate import LearningRate
from model.training.optimizer import make_optimizer
from runtime.errors import UserError

SHAPES = [(3, 2), (4,), (2, 2), ()]  # of the variables; the first two belong to the backbone
TOTAL = 7  # steps
KINDS = {
    "adam": {},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.3},
    "sgd": {"optimizer": "sgd", "momentum": 0.7},
    "sgd without momentum, with decay": {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.3},
}


def gradients(step: int) -> list[np.ndarray]:
    random = np.random.default_rng(step)
    return [np.asarray(random.normal(size=shape), np.float32) for shape in SHAPES]


def clipped(values: list[np.ndarray], norm: float | None) -> list[np.ndarray]:
    """Scaled down to this norm of all together."""
    length = np.sqrt(sum(np.sum(value.astype(float) ** 2) for value in values))
    return [value.astype(float) * min(1.0, (norm or length) / length) for value in values]


def expected(params: Params, start: np.ndarray, place: int, rates: list[float], first: int, epsilon: float):
    """In float64: algorithm 1 of Kingma & Ba, or algorithm 1 of Loshchilov & Hutter, starting at step `first`."""
    x, m, v = start.astype(float), 0.0, 0.0
    for t, step in enumerate(range(first, TOTAL), start=1):
        learning = range(len(SHAPES)) if step >= params.freeze_backbone_steps else range(2, len(SHAPES))
        g = clipped([gradients(step)[i] for i in learning], params.clip_norm)[place - learning[0]]
        decay = params.weight_decay * rates[step] * x if x.ndim > 1 else 0.0
        if params.optimizer == "sgd":
            m = params.momentum * m - rates[step] * g
            x = x + m - decay
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            x = x - rates[step] * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + epsilon) - decay
    return x


@pytest.mark.parametrize("clip_norm", [None, 1.5])
@pytest.mark.parametrize(("frozen", "backbone_rate"), [(0, None), (0, 0.2), (3, None), (3, 0.002)])
@pytest.mark.parametrize("kind", KINDS)
def test_each_part_takes_the_steps_of_the_published_algorithm(kind, frozen, backbone_rate, clip_norm, monkeypatch):
    monkeypatch.setattr("model.training.optimizer.EPSILON", 1e-3)
    values = {"learning_rate": 0.05, "learning_rate_schedule": "cosine", "warmup_steps": 2, "clip_norm": clip_norm}
    values |= {"backbone_learning_rate": backbone_rate, "freeze_backbone_steps": frozen}
    params = check_params(values | KINDS[kind], "x")
    random = np.random.default_rng(5)
    starts = [np.asarray(random.normal(size=shape), np.float32) for shape in SHAPES]
    variables = [keras.Variable(start) for start in starts]
    optimizer = make_optimizer(LearningRate(params, TOTAL), params)
    optimizer.build_for(variables[:2], variables)
    rates = []
    for step in range(TOTAL):
        some = slice(2 if step < frozen else 0, None)
        norm = optimizer.apply([tf.constant(g) for g in gradients(step)[some]], variables[some])
        if clip_norm:
            assert float(norm) == pytest.approx(np.sqrt(sum(np.sum(g**2) for g in gradients(step)[some])))
        rates.append(optimizer.learning_rates(step))
    head = [each["learning_rate"] for each in rates]
    ratio = 1 if backbone_rate is None else backbone_rate / 0.05
    for place, variable in enumerate(variables):
        first, scale = (frozen, ratio) if place < 2 else (0, 1)
        wanted = expected(params, starts[place], place, [scale * each for each in head], first, 1e-3)
        np.testing.assert_allclose(variable.numpy(), wanted, rtol=1e-5, atol=1e-6)
    shown = [each.get("backbone_learning_rate") for each in rates]
    if backbone_rate is None and not frozen:
        assert shown == [None] * TOTAL
    else:
        assert shown == pytest.approx([0.0] * frozen + [ratio * each for each in head[frozen:]])


KERAS = {
    "adam": lambda rate, clip: keras.optimizers.Adam(rate, global_clipnorm=clip),
    "adamw": lambda rate, clip: keras.optimizers.AdamW(rate, weight_decay=0.3, global_clipnorm=clip),
    "sgd": lambda rate, clip: keras.optimizers.SGD(rate, momentum=0.7, global_clipnorm=clip),
    "sgd without momentum, with decay": lambda rate, clip: keras.optimizers.SGD(
        rate, weight_decay=0.3, global_clipnorm=clip
    ),
}


def step_of(optimizer, variables, compiled):
    def step(gradients):
        optimizer.apply(gradients, variables)

    return tf.function(step, jit_compile=compiled == "XLA") if compiled else step


@pytest.mark.parametrize("compiled", [None, "graph", pytest.param("XLA", marks=pytest.mark.slow)])
@pytest.mark.parametrize("clip_norm", [None, 1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_with_one_learning_rate_it_equals_keras(kind, clip_norm, compiled):
    params = check_params({"learning_rate": 0.05, "warmup_steps": 3, "clip_norm": clip_norm} | KINDS[kind], "x")
    ours, keras_own = make_optimizer(LearningRate(params, 9), params), KERAS[kind](LearningRate(params, 9), clip_norm)
    ends = []
    for optimizer in (ours, keras_own):
        variables = [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES]
        optimizer.build(variables)
        if params.weight_decay and optimizer is keras_own:
            optimizer.exclude_from_weight_decay([variable for variable in variables if len(variable.shape) < 2])
        step = step_of(optimizer, variables, compiled)
        for number in range(TOTAL):
            step([tf.constant(g) for g in gradients(number)])
        ends.append([variable.numpy() for variable in variables])
    assert int(ours.iterations) == TOTAL
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_checkpoints_of_adam_are_those_of_keras(tmp_path):
    """So runs of earlier versions, which used Keras's, resume; also with other learning rates."""
    plain = check_params({}, "x")
    others = {"backbone_learning_rate": 0.01, "freeze_backbone_steps": 2, "clip_norm": 1.0}
    split = check_params(others | KINDS["adamw"], "x")
    saved = []
    for optimizer in (keras.optimizers.Adam(LearningRate(plain, 9)), *made(plain), *made(split)):
        variables = [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES]
        optimizer.build(variables)
        optimizer.apply([tf.constant(g) for g in gradients(0)], variables)
        path = tf.train.Checkpoint(optimizer=optimizer).save(str(tmp_path / f"{len(saved)}"))
        saved.append({name: tf.train.load_variable(path, name) for name, _ in tf.train.list_variables(path)})
    assert saved[0].keys() == saved[1].keys() == saved[2].keys()
    assert len(saved[0]) > 2 * len(SHAPES)
    for name in saved[0].keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}:
        np.testing.assert_allclose(saved[0][name], saved[1][name], rtol=2e-5, err_msg=name)


def made(params: Params) -> list[keras.optimizers.Optimizer]:
    return [make_optimizer(LearningRate(params, 9), params)]


def test_variables_without_a_gradient_stay_and_constraints_hold():
    params = check_params({"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0}, "x")
    (optimizer,) = made(params)
    low, idle = keras.Variable(3.0), keras.Variable([1.0, 2.0])
    low.constraint = keras.constraints.NonNeg()
    optimizer.build_for([], [low, idle])
    optimizer.apply([tf.constant(5.0), None], [low, idle])
    assert float(low) == 0.0  # 3 - 5, constrained
    assert idle.numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight_decay": 0.01}, "weight_decay has no effect with optimizer 'adam'"),
        ({"optimizer": "adamw"}, "optimizer 'adamw' needs a weight_decay"),
        ({"momentum": 0.8}, "momentum has no effect with optimizer 'adam'"),
        (
            {"optimizer": "adamw", "weight_decay": 0.01, "momentum": 0.0},
            "momentum has no effect with .* 'adamw'",
        ),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"optimizer": "sgd", "momentum": 1.0}, "momentum"),
    ],
)
def test_parameters_without_effect_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        check_params(values, "x")
