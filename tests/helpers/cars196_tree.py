"""Small trees in the official forms of Cars196; see reid_trees.py for the others."""

import itertools
import shutil
import tarfile
from pathlib import Path

import numpy as np
import scipy.io
from helpers.reid_trees import HEIGHT, WIDTH, person, save
from numpy.lib.recfunctions import repack_fields

# With a slash, as one of the real names has.
CARS196_NAMES = [f"Make {n // 7} Model C/V {n % 7} Sedan {1991 + n % 22}" for n in range(1, 197)]
CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def make_cars196(
    folder: Path, train: int = 3, test: int = 3, images: int = 3, form: str = "devkit", labelled: bool = True
) -> Path:
    """Cars196: classes 1 .. train and 99 .. 98 + test; the box shows what tells them apart, the rest is noise.

    `form` is "whole" (cars_annos.mat, car_ims), "devkit" (cars_train and cars_test; every third image of a class is in
    the latter, which has classes only if `labelled`), or either with " archives" behind: the images are in archives.
    """
    whole = form.startswith("whole")
    rows: dict[str, list[dict[str, object]]] = {"car_ims": [], "cars_train": [], "cars_test": []}
    every = itertools.product(range(images), [*range(1, train + 1), *range(99, 99 + test)])
    for total, (index, number) in enumerate(every, start=1):
        random = np.random.default_rng([number, index])
        scene = random.integers(0, 256, (72, 96, 3)).astype(np.uint8)
        x, y = (int(v) for v in random.integers(0, (96 - WIDTH + 1, 72 - HEIGHT + 1)))
        scene[y : y + HEIGHT, x : x + WIDTH] = person(number, 2, index)
        part = "car_ims" if whole else "cars_test" if index % 3 == 2 else "cars_train"
        name = f"{total:06d}.jpg" if whole else f"{total:05d}.jpg"
        save(folder / part / name, scene)
        box = dict(zip(CORNERS, (x + 1, y + 1, x + WIDTH, y + HEIGHT), strict=True))  # from 1, inclusive
        of_image = {"class": number, "fname": name, "relative_im_path": f"car_ims/{name}", "test": int(index % 3 == 2)}
        rows[part].append(box | of_image)
    names = {"class_names": np.array([CARS196_NAMES], object)}
    if whole:
        fields = ("relative_im_path", *CORNERS, "class", "test")
        save_annotations(folder / "cars_annos.mat", rows["car_ims"], fields, **names)
    else:
        kit, fields = folder / "devkit", (*CORNERS, "class", "fname")
        kit.mkdir(exist_ok=True)
        scipy.io.savemat(kit / "cars_meta.mat", names)
        save_annotations(kit / "cars_train_annos.mat", rows["cars_train"], fields)
        save_annotations(kit / "cars_test_annos.mat", rows["cars_test"], (*CORNERS, "fname"))
        if labelled:  # as it is usually put: beside the kit
            save_annotations(folder / "cars_test_annos_withlabels.mat", rows["cars_test"], fields)
    for part in [part for part in rows if rows[part] and form.endswith(" archives")]:
        with tarfile.open(folder / f"{part}.tgz", "w:gz") as tar:
            tar.add(folder / part, arcname=part)
        shutil.rmtree(folder / part)
    return folder


def boxed(value: object) -> np.ndarray:
    """As MATLAB writes each value of a structure: an array of its own, of the smallest type."""
    return np.array([value]) if isinstance(value, str) else np.array([[value]], np.min_scalar_type(value))


def save_annotations(file: Path, rows: list[dict[str, object]], fields: tuple[str, ...], **more: object) -> None:
    """A structure array `annotations`, and `more` variables."""
    found = np.empty((1, len(rows)), [(name, object) for name in fields])
    for column, row in enumerate(rows):
        for name in fields:
            found[name][0, column] = boxed(row[name])
    scipy.io.savemat(file, {"annotations": found} | more)


def change(file: Path, **columns: object) -> None:
    """Rewrites annotations: another value in the first row (a callable: in every row), or without a field (None)."""
    found = scipy.io.loadmat(file)["annotations"]
    found = repack_fields(found[[name for name in found.dtype.names if columns.get(name, 0) is not None]])
    for name, value in columns.items():
        if callable(value):
            for row in range(found.size):
                found[name][0, row] = boxed(value(found[name][0, row].item()))
        elif value is not None:
            found[name][0, 0] = boxed(value)
    scipy.io.savemat(file, {"annotations": found})
