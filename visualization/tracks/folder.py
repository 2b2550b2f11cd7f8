"""The folder of `visualize.py tracks`: what it holds of other frames stays; new files take their places together."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from runtime.errors import UserError
from visualization.kit.printable import printable
from visualization.tracks.animation import FORMATS

PAGE = "tracks.html"
_NAMES = (*(f"tracks.{name}" for name in FORMATS), PAGE)

_SOURCE = re.compile(r'<meta name="frames" content="([^"]*)">')  # in video.html.jinja
_HEAD_BYTES = 100_000  # of a page, within which its source stands


def source_of(frames: Path) -> str:
    """How a page records the folder of frames that it shows."""
    return printable(Path(frames).resolve())


def check_folder(folder: Path, source: str) -> None:
    """Raises a UserError when `folder` cannot be written to, or shows other frames. Makes nothing."""
    there = [folder / name for name in _NAMES if os.path.lexists(folder / name)]
    if there and (shown := _recorded(folder / PAGE)) != source:
        other = f"the frames of {shown}" if shown else "it is not known which frames"
        remedy = "give another folder with --out, or remove what is there"
        raise UserError(f"{there[-1]} is there already and shows {other}; {remedy}")
    place = folder
    while not os.path.lexists(place):
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror or error}") from error


@contextlib.contextmanager
def replace_together(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder; when the block ends without an error, its files take their places in `folder`.

    An animation of another format that was there goes. Call `check_folder` first.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=folder, prefix=".tracks.")
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror or error}") from error
    with temporary:
        made = Path(temporary.name)
        yield made
        new = [name for name in _NAMES if (made / name).exists()]
        for name in new:  # the page last
            (made / name).replace(folder / name)
        for name in set(_NAMES).difference(new):
            if (folder / name).exists():
                (folder / name).unlink()
                print(f"removed {folder / name}: it was of an earlier run")


def _recorded(page: Path) -> str | None:
    try:
        with open(page, "rb") as file:
            head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    found = _SOURCE.search(head)
    return unescape(found[1]) if found else None
