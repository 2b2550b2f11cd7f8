"""Lists of images from a folder, a pattern, a text file, a CSV file, or standard input.

The identities of a list that has none are empty strings.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from dataset.formats.image_folders import has_wildcard, images_in, images_like, is_image
from dataset.formats.manifest import COLUMNS, Manifest, make_manifest, read_rows
from dataset.formats.prepared import image_root_of
from runtime.errors import UserError
from runtime.input_files import check_file, decode, read_bytes

STANDARD_INPUT = "-"


def read_image_list(source: str, image_root: str | None = None) -> Manifest:
    """The images that a list names. `Manifest.labelled` says whether it has identities.

    Args:
        source: a folder (all images below it, sorted by path); a pattern such as `photos/**/*.jpg` (sorted too); a
            `.txt` file with one path per line; a CSV file with a header that has `path` but not `identity`; a CSV file
            of one column without a header; a manifest; or "-" for standard input: one path per line, or a CSV file
            with a header.
        image_root: the folder that relative paths start from. By default the folder itself; the current folder for a
            pattern and for standard input; for a file, the image_root of a dataset.json next to it, else its folder.

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
            raise UserError(f"--image_root {image_root}: the paths of a folder always start in it; omit --image_root")
        return _without_identities(images_in(path), path, path)
    if has_wildcard(source) and not path.exists():
        return _without_identities(images_like(source, root), path, root)
    if not path.exists():
        raise UserError(f"{source}: no such file or folder")
    check_file(path)
    if is_image(source):
        raise UserError(f"{source}: this is an image, not a list of images; name its folder, or a pattern in quotes")
    root = image_root_of(path, image_root)
    if path.suffix.lower() == ".txt":
        return _of_text(read_bytes(path), path, root)
    return _of_rows(read_rows(path), path, root)


def _of_text(data: bytes, source: Path, root: Path) -> Manifest:
    """The images of a text with one path per line, or of a CSV text with a header."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # the mark of UTF-16
        decode(data, str(source))
    lines = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if b"\0" in line:
            what = f"{source}: line {number}: the paths are separated by null characters"
            raise UserError(f"{what}; give one path per line, as UTF-8 (for find: -print, not -print0)")
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            raise UserError(f"{source}: line {number}: {line[:200]!r} is not UTF-8; rename the file") from None
    if lines and (_names_path(first := lines[0].split(",")) or first[:2] == list(COLUMNS[:2])):
        try:
            return _of_rows([row for row in csv.reader(lines) if row], source, root)
        except csv.Error as error:
            raise UserError(f"{source}: malformed CSV: {error}") from error
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
            raise UserError(f"{source}: row {number}: {path!r} is already in row {first}; list every image once")
    if not paths:
        raise UserError(f"{source}: no images in it; each line must name one")
    return _without_identities(list(paths), source, root)


def _names_path(row: list[str]) -> bool:
    """Whether a row is a header with a column for paths but none for identities."""
    return "path" in row and "identity" not in row


def _without_identities(paths: list[str], source: Path, root: Path) -> Manifest:
    return Manifest(np.full(len(paths), "", object), np.array(paths, object), root, source)
