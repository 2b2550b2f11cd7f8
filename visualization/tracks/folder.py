"""The folder of `visualize.py tracks`: files of other frames are kept; new files replace old ones together."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from runtime.errors import UserError
from runtime.printable import print_line
from visualization.tracks.animation import FORMATS

PAGE = "tracks.html"
_NAMES = (*(f"tracks.{name}" for name in FORMATS), PAGE)

_SOURCE = '<meta name="frames" content="'  # in video.html.jinja


def check_folder(folder: Path, source: str) -> None:
    """Raises a UserError if `folder` cannot be written to, or shows frames of another `source`. Changes no file."""
    there = [folder / name for name in _NAMES if (folder / name).exists()]
    page = (folder / PAGE).read_text("utf-8", "replace") if (folder / PAGE).is_file() else ""
    shown = unescape(page.partition(_SOURCE)[2].partition('"')[0])
    if there and shown != source:
        other = f"the frames of {shown}" if shown else "unknown frames"
        raise UserError(
            f"{there[-1]} exists and shows {other}; name another folder with --out, or remove the old files"
        )
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise UserError(
            f"cannot write into {folder}: {place} is not a folder, or is write-protected; name another one with --out"
        )


@contextlib.contextmanager
def replace_together(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder. When the block ends without an error, its files move to `folder`.

    An older animation of another format is removed. Call `check_folder` first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".tracks.") as temporary:
        yield Path(temporary)
        new = [name for name in _NAMES if (Path(temporary) / name).exists()]
        for name in new:  # the page last
            (Path(temporary) / name).replace(folder / name)
        for name in set(_NAMES).difference(new):
            if (folder / name).exists():
                (folder / name).unlink()
                print_line(f"removed {folder / name}, a file of an earlier run")
