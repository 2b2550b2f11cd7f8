"""The track tables of MARS: which images of a list are one track, of whom, and from which camera."""

from collections import Counter
from pathlib import Path

import numpy as np

from dataset.formats.manifest import Row
from dataset.sources.matlab import read_variables, whole_numbers
from dataset.sources.names import FORMS, JUNK
from dataset.sources.word_lists import read_text
from runtime.errors import UserError

JUNK_FOLDER = "00-1"  # as names and folders state the identity -1


def read_names(path: Path) -> list[str]:
    """The image names of a list, one a line.

    Raises:
        UserError: when it is missing, no text, or empty, or a name stands twice.
    """
    names = read_text(path).split()
    if not names:
        raise UserError(f"{path}: no names in it")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"{path}: {twice!a} stands twice in it")
    return names


def read_tracks(path: Path, variable: str, names: int) -> np.ndarray:
    """The table of a MATLAB file: T tracks over a list of `names`.

    Returns:
        (T, 4) int64: first and last position in the list, from 1, both inclusive; identity, -1 for junk and 0 for
        distractors; camera.

    Raises:
        UserError: naming the row (from 1) that reaches beyond the list or shares an image with another row.
    """
    table = whole_numbers(read_variables(path, variable)[0], 2, f"{path}: {variable}")
    if table.shape[1] != 4 or not len(table):
        raise UserError(f"{path}: {variable} is {table.shape}; it must have rows (first, last, identity, camera)")
    first, last = table[:, 0], table[:, 1]
    bad = np.flatnonzero((first < 1) | (last < first) | (last > names))
    if len(bad):
        row = f"row {bad[0] + 1} has the images {first[bad[0]]} to {last[bad[0]]}"
        raise UserError(f"{path}: {row}, but the list of names has {names}; do table and list belong together?")
    order = np.argsort(first, kind="stable")
    shared = np.flatnonzero(first[order][1:] <= last[order][:-1])
    if len(shared):
        one, other = order[shared[0]] + 1, order[shared[0] + 1] + 1
        raise UserError(f"{path}: rows {one} and {other} share the image {first[other - 1]}")
    return table


def read_queries(path: Path, variable: str, tracks: int) -> list[int]:
    """Positions (from 0, in the order of the file) of the query tracks among `tracks`.

    Raises:
        UserError: for a number that names no track, or one that stands there twice.
    """
    queries = whole_numbers(read_variables(path, variable)[0], 1, f"{path}: {variable}")
    bad = np.flatnonzero((queries < 1) | (queries > tracks))
    if len(bad) or not len(queries):
        what = f"entry {bad[0] + 1} is {queries[bad[0]]}" if len(bad) else "it is empty"
        raise UserError(f"{path}: {what}; entries must name one of {tracks} test tracks, from 1")
    if len(np.unique(queries)) < len(queries):
        raise UserError(f"{path}: a track stands twice in it")
    return (queries - 1).tolist()


def track_rows(table: np.ndarray, names: list[str], folder: str, where: Path) -> list[list[Row]]:
    """The rows (identity, path, camera, sequence) of each track; names and table are held against each other.

    A sequence is `<identity>_c<camera>_t<row of the table>`: one track, and nothing else, has it.

    Args:
        table: as `read_tracks` gives it, from the file `where`.
        names: the list of names that it is about.
        folder: where the images are.

    Raises:
        UserError: naming the row of the table whose identity or camera is not that of its images' names.
    """
    rows = []
    for number, (first, last, identity, camera) in enumerate(table.tolist(), start=1):
        stated, camera = JUNK_FOLDER if identity == -1 else f"{identity:04d}", str(camera)
        label = JUNK if identity == -1 else stated
        sequence = f"{label}_c{camera}_t{number:05d}"
        track: list[Row] = []
        for line in range(first, last + 1):
            name = names[line - 1]
            match = FORMS["mars"].match(name)
            if not match or match.groups() != (stated, camera):
                what = f"row {number} has identity {identity} and camera {camera}, but its image in line {line}"
                raise UserError(f"{where}: {what} of the list of names is {name!a}; take both from one download")
            track.append((label, f"{folder}/{stated}/{name}", camera, sequence))
        rows.append(track)
    return rows
