"""Excluders: the gallery images that a protocol excludes from a query's ranking, one module per protocol.

A module defines

    MEANING         what is excluded, in words
    JUNK            identities that are excluded from all rankings
    CAMERAS         the data set whose file names contain the camera, for CSV files without a camera column; None for an
                    excluder that does not use cameras
    left_out(query, gallery) -> (P,) bool
                    given the labels of P pairs of a query and a gallery image: whether the pair is excluded

`left_out` is called only for pairs with the same identity or the same file. All other images are ranked.

    >>> from model.metrics.excluders import find_excluder
    >>> find_excluder("market1501").MEANING
    "market1501 (excluded from the gallery: the query's identity in the query's camera, and junk, identity -1)"
"""

from types import ModuleType

from dataset.formats.manifest import Manifest
from runtime import plugins
from runtime.errors import UserError


def find_excluder(name: str) -> ModuleType:
    """The excluder of that name.

    Raises:
        UserError: for an unknown name; lists the choices.
    """
    names = plugins.choices(__name__)
    if name not in names:
        raise UserError(f"excluder {name!r} is unknown; choose one of {', '.join(names)}")
    return plugins.load(__name__, name)


def default_excluder(query: Manifest, gallery: Manifest) -> str:
    """The default excluder: "market1501" if query and gallery differ and all cameras are known, else "diagonal".

    For all against all, `query` and `gallery` are the same object.
    """
    known = all(part.cameras is not None and all(part.cameras) for part in (query, gallery))
    return "market1501" if query is not gallery and known else "diagonal"
