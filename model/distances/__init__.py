"""Distances of embeddings, one module each: its name is a value of `metric`, in training, ranking and episodes alike.

A module here is of one of two kinds. A function of the squared Euclidean distance s, which comes from matrix products:

    UNIT_LENGTH                         whether embeddings are divided by their length first (the zero vector stays)
    of_squared(s, xp)                   the distance, which must grow with s
    weights(gradient, distances, tf)    `gradient` times twice the derivative of `of_squared`; 0 where that is infinite

or a sum over the dimensions:

    of_differences(differences, xp)     what each dimension adds, element by element: at least 0, and 0 for 0
    slopes(differences, tf)             its derivative, element by element: finite everywhere, and 0 for 0
    CDIST                               optional: what scipy.spatial.distance.cdist calls it, which is quicker

`xp` is numpy or tensorflow, `tf` is tensorflow: a module imports neither. Both kinds define

    as_euclidean(distance, dimensions)  a Euclidean distance that is comparable, by which the collapse alarm judges
"""

from types import ModuleType

from runtime import plugins
from runtime.errors import UserError

USUAL = ("euclidean", "sqeuclidean", "cityblock", "cosine")  # come first where all are listed


def list_distances(squared: bool = False) -> list[str]:
    """The names of all distances, or of those that are functions of the squared Euclidean distance."""
    names = plugins.choices(__name__, USUAL)
    return [name for name in names if is_squared(name)] if squared else names


def find_distance(name: str) -> ModuleType:
    """The distance of that name.

    Raises:
        UserError: when there is none; lists the choices.
    """
    if name not in list_distances():
        raise UserError(f"metric {name!r}: it must be one of {', '.join(list_distances())}")
    return plugins.load(__name__, name)


def has_unit_length(name: str) -> bool:
    """Whether embeddings are divided by their length before this distance is taken."""
    return getattr(find_distance(name), "UNIT_LENGTH", False)


def is_squared(name: str) -> bool:
    """Whether it is a function of the squared Euclidean distance."""
    return hasattr(find_distance(name), "of_squared")
