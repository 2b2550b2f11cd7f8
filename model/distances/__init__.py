"""Distances of embeddings, one module each. The module's name is the value of the parameter `metric`.

There are two kinds of module. The first is a function of the squared Euclidean distance s, computed by matrix products:

    UNIT_LENGTH                         whether embeddings are divided by their length first (the zero vector stays)
    of_squared(s, xp)                   the distance, which must grow with s
    weights(gradient, distances, tf)    `gradient` times twice the derivative of `of_squared`; 0 where that is infinite

The second is a sum over the dimensions:

    of_differences(differences, xp)     what each dimension adds, element by element: at least 0, and 0 for 0
    slopes(differences, tf)             its derivative, element by element: finite everywhere, and 0 for 0
    CDIST                               optional: its name in scipy.spatial.distance.cdist, which is faster

`xp` is numpy or tensorflow, and `tf` is tensorflow: a module imports neither. Both kinds define

    as_euclidean(distance, dimensions)  a comparable Euclidean distance; the collapse alarm compares it with its limits

    >>> import numpy as np
    >>> from model.distances import find_distance, list_distances
    >>> list_distances()[:4], float(find_distance("cosine").of_squared(2.0, np))
    (['euclidean', 'sqeuclidean', 'cityblock', 'cosine'], 1.0)
"""

from types import ModuleType

from runtime import plugins
from runtime.errors import UserError

USUAL = ("euclidean", "sqeuclidean", "cityblock", "cosine")  # listed first


def list_distances(squared: bool = False) -> list[str]:
    """The names of all distances, or of those that are functions of the squared Euclidean distance."""
    names = plugins.choices(__name__, USUAL)
    return [name for name in names if is_squared(name)] if squared else names


def find_distance(name: str) -> ModuleType:
    """The distance of that name.

    Raises:
        UserError: for an unknown name; lists the choices.
    """
    if name not in list_distances():
        raise UserError(f"metric {name!r} is unknown; choose one of {', '.join(list_distances())}")
    return plugins.load(__name__, name)


def has_unit_length(name: str) -> bool:
    """Whether this distance is between embeddings of length 1."""
    return getattr(find_distance(name), "UNIT_LENGTH", False)


def is_squared(name: str) -> bool:
    """Whether the distance is a function of the squared Euclidean distance."""
    return hasattr(find_distance(name), "of_squared")
