"""The track tables of MARS: images, identity and camera of each track."""

from collections import Counter
from pathlib import Path

import numpy as np

from dataset.formats.manifest import Row
from dataset.formats.reserved import JUNK, JUNK_FOLDER
from dataset.sources.matlab import read_variables, whole_numbers
from dataset.sources.names import FORMS
from runtime.errors import UserError
from runtime.input_files import read_text


def read_names(path: Path) -> list[str]:
    """The image names of a list, one per line.

    Raises:
        UserError: when the file is missing, empty or not text, or has a name twice.
    """
    names = read_text(path).split()
    if not names:
        raise UserError(f"{path}: no names in it; download it again")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"{path}: {twice!a} is in it twice; download it again")
    return names


def read_tracks(path: Path, variable: str, names: int) -> np.ndarray:
    """The T tracks in a MATLAB file, over a list of `names` images.

    Returns:
        (T, 4) int64: first and last position in the list, from 1, both inclusive; identity (-1: junk, 0: distractor);
        camera.

    Raises:
        UserError: naming the row (from 1) that exceeds the list or shares an image with another row.
    """
    table = whole_numbers(read_variables(path, variable)[0], 2, f"{path}: {variable}")
    if table.shape[1] != 4 or not len(table):
        raise UserError(f"{path}: {variable} is {table.shape}; it must have rows (first, last, identity, camera)")
    first, last = table[:, 0], table[:, 1]
    bad = np.flatnonzero((first < 1) | (last < first) | (last > names))
    if len(bad):
        row = f"row {bad[0] + 1} has the images {first[bad[0]]} to {last[bad[0]]}"
        raise UserError(f"{path}: {row}, but the list of names has {names}; use a table and a list from one download")
    order = np.argsort(first, kind="stable")
    shared = np.flatnonzero(first[order][1:] <= last[order][:-1])
    if len(shared):
        one, other = order[shared[0]] + 1, order[shared[0] + 1] + 1
        raise UserError(f"{path}: rows {one} and {other} share the image {first[other - 1]}; download it again")
    return table


def read_queries(path: Path, variable: str, tracks: int) -> list[int]:
    """Positions of the query tracks among `tracks` test tracks, from 0, in the order of the file.

    Raises:
        UserError: for a number without a track, or a number that occurs twice.
    """
    queries = whole_numbers(read_variables(path, variable)[0], 1, f"{path}: {variable}")
    bad = np.flatnonzero((queries < 1) | (queries > tracks))
    if len(bad) or not len(queries):
        what = f"entry {bad[0] + 1} is {queries[bad[0]]}" if len(bad) else "it is empty"
        raise UserError(f"{path}: {what}; entries must be numbers of test tracks, 1 to {tracks}")
    if len(np.unique(queries)) < len(queries):
        raise UserError(f"{path}: a track is in it twice; download it again")
    return (queries - 1).tolist()


def track_rows(table: np.ndarray, names: list[str], folder: str, where: Path) -> list[list[Row]]:
    """The rows (identity, path, camera, sequence) of each track. Checks that names and table agree.

    A sequence is `<identity>_c<camera>_t<row of the table>`, different for each track.

    Args:
        table: the result of `read_tracks` for the file `where`.
        names: the list of image names that the table refers to.
        folder: the folder of the images.

    Raises:
        UserError: naming a row of the table with another identity or camera than the names of its images.
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
                what = f"row {number} has identity {identity} and camera {camera}, but its image is {name!a}"
                raise UserError(f"{where}: {what} (line {line} of the list of names); use files from one download")
            track.append((label, f"{folder}/{stated}/{name}", camera, sequence))
        rows.append(track)
    return rows
