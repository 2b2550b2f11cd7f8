"""Which gallery images do not take part in the ranking of a query: one module for each protocol.

A module here is one excluder. It defines

    MEANING         what is left out, in words
    JUNK            identities whose gallery images take part in no ranking
    CAMERAS         the data set whose file names state the camera, where the CSV has no column; None for an excluder
                    that does not look at cameras
    left_out(query, gallery) -> (P,) bool
                    given the labels of P pairs of a query and a gallery image: those not to be ranked

`left_out` is asked about pairs of one identity or one file only: all other images always take part.
"""

from types import ModuleType

from dataset.formats.manifest import Manifest
from runtime import plugins
from runtime.errors import UserError


def find_excluder(name: str) -> ModuleType:
    """The excluder of that name.

    Raises:
        UserError: naming the choices.
    """
    names = plugins.choices(__name__)
    if name not in names:
        raise UserError(f"excluder {name!r}: it must be one of {', '.join(names)}")
    return plugins.load(__name__, name)


def default_excluder(query: Manifest, gallery: Manifest) -> str:
    """The excluder where none is named: "market1501" if query and gallery differ and tell all cameras, else "diagonal".

    All against all is one object as `query` and `gallery`.
    """
    known = all(part.cameras is not None and all(part.cameras) for part in (query, gallery))
    return "market1501" if query is not gallery and known else "diagonal"
