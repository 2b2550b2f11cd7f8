"""Lists of images in the forms that people have: a folder, a pattern, a text file, a CSV file, standard input.

What has no identities gives a manifest whose identities are all empty.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from dataset.formats.image_folders import has_wildcard, images_in, images_like, is_image
from dataset.formats.manifest import COLUMNS, Manifest, make_manifest, read_rows
from dataset.formats.prepared import image_root_of
from runtime.errors import UserError

STANDARD_INPUT = "-"


def read_image_list(source: str, image_root: str | None = None) -> Manifest:
    """Reads a list of images; `Manifest.labelled` tells whether it has identities.

    Args:
        source: a folder, whose images at any depth are taken in the order of their paths; a pattern such as
            `photos/**/*.jpg`, likewise; a `.txt` file with a path a line; a CSV file whose header has a column `path`
            and none `identity`, or without a header and with one column; a manifest; or "-" for paths or a CSV file
            with its header on standard input, which is read to its end.
        image_root: where relative paths start. By default in the folder, here (pattern, standard input), or where those
            of a manifest start: as the dataset.json beside the list says, else in the list's folder.

    Raises:
        UserError: naming the source, the line and the remedy.
    """
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UserError(f"{source!a}: the name is not UTF-8; rename it") from None
    path, root = Path(source), Path(image_root or ".")
    if source == STANDARD_INPUT:
        return _of_text(sys.stdin.buffer.read(), Path("standard input"), root)
    if path.is_dir():
        if image_root is not None:
            raise UserError(f"--image_root {image_root}: the paths of a folder's images start in it; leave it out")
        return _without_identities(images_in(path), path, path)
    if has_wildcard(source) and not path.exists():
        return _without_identities(images_like(source, root), path, root)
    if not path.exists():
        raise UserError(f"{source}: no such file or folder")
    if is_image(source):
        raise UserError(f"{source}: an image, not a list of images; name its folder, or a pattern in quotes")
    root = image_root_of(path, image_root)
    if path.suffix.lower() == ".txt":
        return _of_text(path.read_bytes(), path, root)
    return _of_rows(read_rows(path), path, root)


def _of_text(data: bytes, source: Path, root: Path) -> Manifest:
    """A path a line; under the header of a CSV file, that file."""
    lines = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            raise UserError(f"{source}: line {number}: {line!r} is not UTF-8; rename the file") from None
    if lines and (_names_path(first := lines[0].split(",")) or first[:2] == list(COLUMNS[:2])):
        return _of_rows([row for row in csv.reader(lines) if row], source, root)
    return _of_rows([[line] for line in lines if line], source, root)


def _of_rows(rows: list[list[str]], source: Path, root: Path) -> Manifest:
    header = bool(rows) and _names_path(rows[0])
    if not header and not all(len(row) == 1 for row in rows):
        return make_manifest(rows, source, root)
    columns = rows[0] if header else ["path"]
    paths: dict[str, int] = {}
    for number, row in enumerate(rows[header:], start=1 + header):
        if len(row) != len(columns):
            what = f"{len(row)} fields instead of {len(columns)} ({','.join(columns)})"
            raise UserError(f"{source}: row {number}: {what}")
        path = row[columns.index("path")]
        if not path:
            raise UserError(f"{source}: row {number}: empty path")
        if (first := paths.setdefault(path, number)) != number:
            raise UserError(f"{source}: row {number}: {path!r} is already in row {first}; name every image once")
    if not paths:
        raise UserError(f"{source}: no images in it; every line names one")
    return _without_identities(list(paths), source, root)


def _names_path(row: list[str]) -> bool:
    """Whether a row is a header that has paths, but no identities."""
    return "path" in row and "identity" not in row


def _without_identities(paths: list[str], source: Path, root: Path) -> Manifest:
    return Manifest(np.full(len(paths), "", object), np.array(paths, object), root, source)
