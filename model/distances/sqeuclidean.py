"""|a - b|^2."""

from types import ModuleType
from typing import Any

UNIT_LENGTH = False


def of_squared(squared: Any, xp: ModuleType) -> Any:
    return squared


def weights(gradient: Any, distances: Any, tf: ModuleType) -> Any:
    return 2.0 * gradient


def as_euclidean(distance: float, dimensions: int) -> float:
    return distance**0.5
