"""|a - b|."""

from types import ModuleType
from typing import Any

UNIT_LENGTH = False


def of_squared(squared: Any, xp: ModuleType) -> Any:
    return xp.sqrt(squared)


def weights(gradient: Any, distances: Any, tf: ModuleType) -> Any:
    return tf.math.divide_no_nan(gradient, distances)


def as_euclidean(distance: float, dimensions: int) -> float:
    return distance
