"""The folder of `visualize.py tracks`: what it holds of other frames stays; new files take their places together."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from runtime.errors import UserError
from visualization.tracks.animation import FORMATS

PAGE = "tracks.html"
_NAMES = (*(f"tracks.{name}" for name in FORMATS), PAGE)

_SOURCE = '<meta name="frames" content="'  # in video.html.jinja


def check_folder(folder: Path, source: str) -> None:
    """Raises a UserError when `folder` cannot be written to, or shows frames of another `source`. Makes nothing."""
    there = [folder / name for name in _NAMES if (folder / name).exists()]
    page = (folder / PAGE).read_text("utf-8", "replace") if (folder / PAGE).is_file() else ""
    shown = unescape(page.partition(_SOURCE)[2].partition('"')[0])
    if there and shown != source:
        other = f"the frames of {shown}" if shown else "it is not known which frames"
        remedy = "give another folder with --out, or remove what is there"
        raise UserError(f"{there[-1]} is there already and shows {other}; {remedy}")
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise UserError(f"cannot write into {folder}: {place} is no folder, or one that you may not write into")


@contextlib.contextmanager
def replace_together(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder; when the block ends without an error, its files take their places in `folder`.

    An animation of another format that was there goes. Call `check_folder` first.
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
                print(f"removed {folder / name}: it was of an earlier run")
