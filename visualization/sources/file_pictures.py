"""The images of an embedded set, opened from their files as they are needed."""

from functools import lru_cache
from pathlib import Path

from PIL import Image

from runtime.errors import UserError
from visualization.kit.printable import printable
from visualization.kit.thumbnails import open_small
from visualization.sources.embedded_set import EmbeddedSet, check_can_open

SIDE = 200  # pixels of the longer side: sharp in print and on dense screens
_KEPT = 256  # images that many rankings show are opened once


class FilePictures:
    """Gives the images by side ("query" or "gallery") and position, and counts those that cannot be opened."""

    def __init__(self, embedded: EmbeddedSet, side: int = SIDE) -> None:
        """Raises a UserError when it is not known where the images are."""
        self._files = {"query": check_can_open(embedded.query), "gallery": check_can_open(embedded.gallery)}
        self._open = lru_cache(_KEPT)(lambda file: open_small(file, side))
        self._opens: dict[Path, bool] = {}

    def __call__(self, side: str, index: int) -> Image.Image | None:
        file = self._files[side][index]
        picture = self._open(file)
        self._opens[file] = picture is not None
        return picture

    def check(self) -> str | None:
        """A sentence on the images that could not be opened, if there are any.

        Raises:
            UserError: when none could be opened: the images are somewhere else.
        """
        missing = [file for file, opens in self._opens.items() if not opens]
        if missing and len(missing) == len(self._opens):
            raise UserError(
                f"{printable(missing[0])}: cannot be opened, and no other image either; give the right --image_root"
            )
        return (
            f"images that cannot be opened: {len(missing):,}, the first is {printable(missing[0])}" if missing else None
        )
