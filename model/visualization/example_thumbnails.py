"""Small pictures of image files for a page, where some of the files may be gone or broken."""

from collections.abc import Sequence
from pathlib import Path

from model.visualization.thumbnails import as_jpeg, open_small

SIDE = 112  # pixels of the longer side


class Thumbnails:
    """Called with a file's number, gives it as a small JPEG, upright; None where it cannot be opened.

    Attributes:
        failed: the files that could not be opened so far.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self.failed: set[Path] = set()

    def __call__(self, number: int) -> bytes | None:
        file = self._files[number]
        picture = open_small(Path(file), SIDE)
        if picture is None:
            self.failed.add(file)
            return None
        return as_jpeg(picture)
