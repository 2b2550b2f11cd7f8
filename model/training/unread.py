"""Scalars of finished steps that are still on the device. They are read together: reading each would wait for it."""

import time

import tensorflow as tf

_MOST = 100  # steps
_LONGEST = 1.0  # seconds


class UnreadSteps:
    """The scalars of the last steps, in order. What becomes of them must not depend on when they are read."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._scalars: list[tf.Tensor] = []
        self._names: tuple[str, ...] = ()
        self._read = time.monotonic()

    def add(self, step: int, names: tuple[str, ...], scalars: tf.Tensor) -> None:
        """Adds a step: its number, and the names and values of its scalars, (S,)."""
        self._steps.append(step)
        self._scalars.append(scalars)
        self._names = names

    @property
    def due(self) -> bool:
        """Whether to read now: after a hundred steps or a second. A NaN does not stay unseen for long."""
        return len(self._steps) >= _MOST or time.monotonic() - self._read >= _LONGEST

    def read(self) -> list[tuple[int, dict[str, float]]]:
        """Waits for all steps and returns each number with its scalars, in order; forgets them."""
        rows = tf.stack(self._scalars).numpy().tolist() if self._scalars else []  # one transfer
        found = [(step, dict(zip(self._names, row, strict=True))) for step, row in zip(self._steps, rows, strict=True)]
        self._steps, self._scalars, self._read = [], [], time.monotonic()
        return found
