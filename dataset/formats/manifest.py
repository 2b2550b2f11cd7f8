"""Manifests: CSV files `identity,path[,camera[,sequence]]` with one image per line.

Paths are relative to an image root and use forward slashes; the file is UTF-8. The older form `identity,path` without a
header is accepted too. Identities, cameras and sequences may be any strings.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.errors import UserError
from runtime.files import replace_file
from runtime.input_files import read_text

COLUMNS = ("identity", "path", "camera", "sequence")

Row = tuple[str, ...]  # identity, path[, camera[, sequence]]
Tables = Mapping[str, Sequence[Row]]  # file name -> its rows, all of one length


@dataclass(frozen=True)
class Manifest:
    """Images in the order of the file, usually with identities.

    Attributes:
        identities: (N,) identity of each image; all empty if the list has none.
        paths: (N,) path of each image, relative to `image_root`, or absolute.
        image_root: the folder that the paths start from.
        source: the file or folder of the list, for messages.
        cameras: (N,) or None.
        sequences: (N,) or None.
    """

    identities: np.ndarray
    paths: np.ndarray
    image_root: Path
    source: Path
    cameras: np.ndarray | None = None
    sequences: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> list[str]:
        """The full path of every image."""
        root = str(self.image_root)
        return [path if path.startswith("/") else f"{root}/{path}" for path in self.paths]

    @property
    def labelled(self) -> bool:
        """Whether the images have identities."""
        return len(self) > 0 and self.identities[0] != ""

    def select(self, keep: np.ndarray) -> "Manifest":
        """The images chosen by a mask or by indices, in that order."""
        return Manifest(
            self.identities[keep],
            self.paths[keep],
            self.image_root,
            self.source,
            None if self.cameras is None else self.cameras[keep],
            None if self.sequences is None else self.sequences[keep],
        )


def read_rows(path: Path) -> list[list[str]]:
    """All rows of a CSV file except blank lines. Errors name the file."""
    try:
        return [row for row in csv.reader(io.StringIO(read_text(path), newline=""), strict=True) if row]
    except csv.Error as error:
        raise UserError(f"{path}: malformed CSV: {error}") from error


def read_manifest(path: Path, image_root: Path) -> Manifest:
    """The images of a manifest. Checks columns, empty fields, and images listed twice.

    Raises:
        UserError: naming the file, the line and the remedy.
    """
    return make_manifest(read_rows(path), path, image_root)


def make_manifest(rows: list[list[str]], path: Path, image_root: Path) -> Manifest:
    """As `read_manifest`, from rows that have been read from the file `path`."""
    path, rows = Path(path), list(rows)
    header = bool(rows) and rows[0][:2] == list(COLUMNS[:2])
    columns = rows.pop(0) if header else list(COLUMNS[:2])
    looks_like_header = bool(rows) and all(word.strip().lower() in COLUMNS for word in rows[0])
    if tuple(columns) != COLUMNS[: len(columns)] or looks_like_header:
        columns = rows[0] if looks_like_header else columns
        raise UserError(f"{path}: the header is {','.join(columns)!r}; it must be identity,path[,camera[,sequence]]")
    if not rows:
        raise UserError(f"{path}: no images in it; after the header, each line must be identity,path")

    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1 + header):
        if len(row) != len(columns):
            what = f"{len(row)} fields instead of {len(columns)} ({','.join(columns)})"
            raise UserError(f"{path}: row {number}: {what}")
        if not row[0] or not row[1]:
            raise UserError(f"{path}: row {number}: empty {'path' if row[0] else 'identity'}")
        first = seen.setdefault(row[1], number)
        if first != number:
            raise UserError(f"{path}: row {number}: {row[1]!r} is already in row {first}; list every image once")
    identities, paths, *others = (np.array(column, dtype=object) for column in zip(*rows, strict=True))
    return Manifest(identities, paths, Path(image_root), path, *others)


def write_manifest(path: Path, rows: Sequence[Row]) -> None:
    """Writes rows (identity, path[, camera[, sequence]]), all of one length, under the matching header."""
    width = len(rows[0])
    with replace_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS[:width])
        writer.writerows(rows)
