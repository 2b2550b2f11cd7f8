"""Scalars of steps that are read late."""

import tensorflow as tf

from model.training import unread
from model.training.unread import UnreadSteps


def scalars(*values):
    return tf.constant(values, tf.float64)


def test_steps_are_read_once_and_in_order():
    steps = UnreadSteps()
    assert steps.read() == []
    steps.add(8, ("loss", "norm"), scalars(0.1, 2.0))
    steps.add(9, ("loss", "norm"), scalars(0.3, 4.0))
    assert steps.read() == [(8, {"loss": 0.1, "norm": 2.0}), (9, {"loss": 0.3, "norm": 4.0})]
    assert steps.read() == []


def test_few_steps_are_kept_and_not_for_long(monkeypatch):
    now = 0.0
    monkeypatch.setattr(unread.time, "monotonic", lambda: now)
    steps = UnreadSteps()
    for number in range(100):
        assert not steps.due
        steps.add(number, ("loss",), scalars(number))
    assert steps.due
    steps.read()
    steps.add(100, ("loss",), scalars(0.0))
    now = 0.9
    assert not steps.due
    now = 1.0
    assert steps.due
    steps.read()
    assert not steps.due
