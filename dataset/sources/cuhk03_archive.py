"""The CUHK03 archive cuhk-03.mat (MATLAB 7.3, which is HDF5), and the lists of the new protocol.

The archive has one cell per pair of cameras for `labeled` (hand-drawn boxes) and for `detected`. A cell has one row per
person and ten columns of images: five of the first camera, five of the second. A missing image is an empty cell. HDF5
shows MATLAB's arrays transposed: a cell array (people, 10) as (10, people), an image (H, W, 3) as (3, W, H).

The lists (Zhong et al.: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017) name the images
`<pair>_<person:03d>_<camera>_<column:02d>.png`, all counted from 1.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from dataset.formats.hdf5 import find_dataset, opened
from dataset.formats.manifest import Row, Tables
from dataset.formats.writing import write_image
from dataset.sources.matlab import read_variables, whole_numbers
from runtime.child import ChildError, run_in_child
from runtime.errors import UserError
from runtime.progress import Progress

ARCHIVE_NAME = re.compile(r"([1-9])_([0-9]{3,})_([12])_([0-9]{2})\.png")  # pair, person, camera, column
_SECONDS = 60  # for one image
FIELDS = ("train_idx", "query_idx", "gallery_idx", "labels", "filelist", "camId")


def read_protocol(path: Path) -> tuple[Tables, int]:
    """The split in cuhk03_new_protocol_config_<kind>.mat, and how many of its cameras contradict the file names.

    The camera is taken from the file name, 1 or 2: each person was seen by only one pair of cameras.

    Raises:
        UserError: for lists of different lengths, an index outside them, names of another form, an image in two sets,
            or a person in training and test.
    """
    found = dict(zip(FIELDS, read_variables(path, *FIELDS), strict=True))
    names = [str(name) for name in np.atleast_1d(found["filelist"])]
    labels = whole_numbers(found["labels"], 1, f"{path}: labels")
    cameras = whole_numbers(found["camId"], 1, f"{path}: camId")
    if not len(names) == len(labels) == len(cameras):
        sizes = f"{len(names)} names, {len(labels)} labels, {len(cameras)} cameras"
        raise UserError(f"{path}: {sizes}; these numbers must be equal; download it again")
    stated = []
    for number, name in enumerate(names, start=1):
        match = ARCHIVE_NAME.fullmatch(name)
        if not match:
            raise UserError(
                f"{path}: name {number} of filelist is {name!a}, but must be like 1_001_1_01.png; download it again"
            )
        stated.append(match[3])
    odd = sum(int(a) != b for a, b in zip(stated, cameras.tolist(), strict=True))

    tables: dict[str, list[Row]] = {}
    used: dict[str, str] = {}
    for table in ("train", "query", "gallery"):
        numbers = whole_numbers(found[f"{table}_idx"], 1, f"{path}: {table}_idx")
        bad = numbers[(numbers < 1) | (numbers > len(names))]
        if len(bad) or not len(numbers):
            what = f"has {bad[0]}, but filelist has {len(names)} names" if len(bad) else "is empty"
            raise UserError(f"{path}: {table}_idx {what}; download it again")
        rows: list[Row] = [(f"{labels[i]:04d}", names[i], stated[i]) for i in (numbers - 1).tolist()]
        for row in rows:
            if row[1] in used:
                what = f"{row[1]} is in {used[row[1]]}_idx and again in {table}_idx"
                raise UserError(f"{path}: {what}; download it again")
            used[row[1]] = table
        tables[f"{table}.csv"] = rows
    both = {r[0] for r in tables["train.csv"]} & {r[0] for r in tables["query.csv"] + tables["gallery.csv"]}
    if both:
        raise UserError(f"{path}: label {min(both)} is in training and in test; download it again")
    return tables, odd


def extract(archive: Path, kind: str, folder: Path, names: list[str]) -> int:
    """Writes images as PNG files if they are not there yet. Returns the number written. Sorted names are fastest.

    Raises:
        UserError: when the archive is not an HDF5 file, or an image is missing or empty.
    """
    progress, written = Progress("extracted", len(names), "images"), 0
    for done, (name, pixels) in enumerate(read_images(archive, kind, names), start=1):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        # Both kinds use the same names: existing files are compared by content.
        written += write_image(folder / name, buffer.getvalue())
        progress(done)
    return written


def read_images(archive: Path, kind: str, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yields each name with its pixels (H, W, 3) uint8, in the given order.

    A process of its own reads them, since HDF5 can hang or crash on damaged files.
    """
    try:
        yield from run_in_child(_read_images, archive, kind, names, seconds=_SECONDS)
    except (ChildError, ValueError) as error:
        raise UserError(f"{archive}: the HDF5 file is damaged ({error}); download it again") from error


def _read_images(archive: Path, kind: str, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    with opened(archive, "download it again") as file:
        pairs = find_dataset(file, kind)
        if pairs is None:
            raise UserError(f"{archive}: there is no {kind!r} in it; check that it is cuhk-03.mat of CUHK03")
        known, cells = "", np.empty(0)
        for name in names:
            pair, person, _, column = name.removesuffix(".png").split("_")
            try:
                if pair != known:
                    known, cells = pair, _values(file, pairs[0, int(pair) - 1])  # (10, people) references
                pixels = _values(file, cells[int(column) - 1, int(person) - 1])  # (3, W, H)
            except Exception as error:  # h5py raises many kinds of errors for missing objects
                what = f"cannot read the image {name} of {kind!r} ({type(error).__name__}: {error})"
                raise UserError(f"{archive}: {what}; use the published archive and protocol") from error
            if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.dtype != np.uint8:
                what = f"the image {name} of {kind!r} is empty, but the protocol uses it"
                raise UserError(f"{archive}: {what}; download it again")
            yield name, np.ascontiguousarray(pixels.transpose(2, 1, 0))  # (H, W, 3)


def _values(file: h5py.File, reference: h5py.Reference) -> np.ndarray:
    """All values of the dataset that a reference leads to. Raises a ValueError if it leads to something else."""
    found = find_dataset(file, reference)
    if found is None:
        raise ValueError("no dataset there")
    return found[:]
