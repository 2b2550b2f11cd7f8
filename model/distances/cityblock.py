"""sum_i |a_i - b_i|."""

from types import ModuleType
from typing import Any

CDIST = "cityblock"


def of_differences(differences: Any, xp: ModuleType) -> Any:
    return xp.abs(differences)


def slopes(differences: Any, tf: ModuleType) -> Any:
    return tf.sign(differences)


def as_euclidean(distance: float, dimensions: int) -> float:
    return distance / dimensions**0.5
