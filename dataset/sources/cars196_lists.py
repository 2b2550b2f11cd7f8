"""The official annotations of Cars196: class and box of each image.

There are two forms. `cars_annos.mat` lists all 16 185 images of `car_ims`. The development kit has one file for each
half of a classification benchmark: `cars_train_annos.mat` for `cars_train`, and `cars_test_annos.mat` for `cars_test`.
The latter has no classes; `cars_test_annos_withlabels.mat`, published later, has them. Each file is a MATLAB structure
array. Fields are read by name, as their order differs. A box is two corners in pixels of the published image, counted
from 1; the second corner is inclusive.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset.sources.box_crops import Box
from dataset.sources.matlab import read_variables, whole_numbers
from dataset.sources.stored_images import find_archive
from runtime.errors import UserError

CLASSES = 196
FOLDERS = ("", "devkit")  # folders in --root that may have the annotations
WHOLE, TRAIN, TEST, LABELLED_TEST = (
    f"cars_{name}.mat" for name in ("annos", "train_annos", "test_annos", "test_annos_withlabels")
)
META = "cars_meta.mat"
_NAME = re.compile(r"[0-9A-Za-z_-]+\.jpg")  # 00001.jpg; no characters that could lead to another folder
_NUMBERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class")


@dataclass(frozen=True)
class Cars:
    """The annotations of N images.

    Attributes:
        classes: path of an image -> the number of its class, 1 .. 196.
        boxes: path -> its box.
        names: number of a class -> its name; empty if there is no file of names.
        files: the files that were read, relative to --root.
        complete: whether both halves of the data set are annotated.
        unlabelled: the number of images that are excluded because they have no class.
    """

    classes: dict[str, int]
    boxes: dict[str, Box]
    names: dict[int, str]
    files: tuple[str, ...]
    complete: bool
    unlabelled: int = 0


def read_cars(root: Path) -> Cars:
    """The annotations in --root. If it has both forms, those with images are used.

    Raises:
        UserError: when there are no annotations, or as `_read`.
    """
    whole, train, test, labelled = (_find(root, name) for name in (WHOLE, TRAIN, TEST, LABELLED_TEST))
    if whole and (not train or (root / "car_ims").is_dir() or find_archive(root, "car_ims")):
        meta = _find(root, META)
        return Cars(*_read(whole, ""), _names(meta or whole), _below(root, whole, meta), complete=True)
    if not train:
        places = f"in {root} nor in {root / 'devkit'}"
        raise UserError(
            f"--root {root}: there is neither {WHOLE} nor {TRAIN} {places}; give the folder that has one of them"
        )
    classes, boxes = _read(train, "cars_train/")
    rest = _annotations(test) if test else []
    if not labelled and rest and "class" in rest[0]:
        labelled = test
    if labelled:
        more = _read(labelled, "cars_test/")
        classes, boxes = classes | more[0], boxes | more[1]
    meta = _find(root, META)
    files = _below(root, train, labelled, meta)
    unlabelled = 0 if labelled else len(rest)
    return Cars(classes, boxes, _names(meta) if meta else {}, files, complete=bool(labelled), unlabelled=unlabelled)


def _find(root: Path, name: str) -> Path | None:
    """The file of this name, or None."""
    return next((root / folder / name for folder in FOLDERS if (root / folder / name).is_file()), None)


def _below(root: Path, *files: Path | None) -> tuple[str, ...]:
    """The files that exist, as paths relative to --root."""
    return tuple(file.relative_to(root).as_posix() for file in files if file)


def _annotations(path: Path) -> list[dict[str, Any]]:
    """The fields of every structure."""
    (found,) = read_variables(path, "annotations")
    return [found] if isinstance(found, dict) else [each for each in found if isinstance(each, dict)]


def _read(path: Path, prefix: str) -> tuple[dict[str, int], dict[str, Box]]:
    """Classes and boxes in one file, by path of the image. `prefix` is added to the names of the development kit.

    Raises:
        UserError: for a missing field, a class outside 1 .. 196, a name of another form, an image listed twice.
    """
    found = _annotations(path)
    if not found:
        raise UserError(f"{path}: annotations is empty; check that it is the right file")
    named = "fname" if prefix else "relative_im_path"
    if missing := [field for field in (named, *_NUMBERS) if field not in found[0]]:
        what = f"annotations has no field {missing[0]}, only {', '.join(found[0])}"
        raise UserError(f"{path}: {what}; check that it is the right file")
    numbers = whole_numbers(
        [[each[field] for field in _NUMBERS] for each in found], 2, f"{path}: {', '.join(_NUMBERS)}"
    )
    classes: dict[str, int] = {}
    boxes: dict[str, Box] = {}
    for row, (each, (x1, y1, x2, y2, number)) in enumerate(zip(found, numbers.tolist(), strict=True), start=1):
        name = str(each[named])
        folder, _, last = name.rpartition("/")
        if folder != ("" if prefix else "car_ims") or not _NAME.fullmatch(last):
            like = "00001.jpg" if prefix else "car_ims/000001.jpg"
            raise UserError(
                f"{path}: {named} of row {row} is {name!a}, but must be like {like}; check that it is the right file"
            )
        if not 1 <= number <= CLASSES:
            raise UserError(f"{path}: the class of row {row} ({name}) is {number}; it must be 1 to {CLASSES}")
        if prefix + name in classes:
            raise UserError(f"{path}: row {row}: {name} is already in an earlier row; download the file again")
        classes[prefix + name] = number
        boxes[prefix + name] = (x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1)
    return classes, boxes


def _names(path: Path) -> dict[int, str]:
    """Number of a class -> its name.

    Raises:
        UserError: when there are not 196 different names.
    """
    names = [str(name).strip() for name in np.atleast_1d(read_variables(path, "class_names")[0])]
    different = len(set(names) - {""})
    if len(names) != CLASSES or different != CLASSES:
        what = f"class_names has {len(names)} names, {different} of them different"
        raise UserError(f"{path}: {what}, but there must be {CLASSES} different ones; download it again")
    return dict(enumerate(names, start=1))
