"""Small trees in the official forms of Cars196; see reid_trees.py for the others."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import scipy.io
from helpers.reid_trees import HEIGHT, WIDTH, person, save

# With a slash, as one of the real names has.
CARS196_NAMES = [f"Make {n // 7} Model C/V {n % 7} Sedan {1991 + n % 22}" for n in range(1, 197)]


def make_cars196(
    folder: Path, train: int = 3, test: int = 3, images: int = 3, form: str = "devkit", labelled: bool = True
) -> Path:
    """Cars196: classes 1 .. train and 99 .. 98 + test; the box shows what tells them apart, the rest is noise.

    `form` is "whole" (cars_annos.mat, car_ims), "devkit" (cars_train and cars_test; every third image of a class is in
    the latter, which has classes only if `labelled`), or either with " archives" behind: the images are in archives.
    """
    whole = form.startswith("whole")
    numbers = [*range(1, train + 1), *range(99, 99 + test)]
    corners = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
    fields = {
        "cars_annos": ("relative_im_path", *corners, "class", "test"),
        "cars_train_annos": (*corners, "class", "fname"),
        "cars_test_annos": (*corners, "fname"),
        "cars_test_annos_withlabels": (*corners, "class", "fname"),
    }
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in fields}
    total = 0
    for index in range(images):
        for number in numbers:
            total += 1
            random = np.random.default_rng([number, index])
            scene = random.integers(0, 256, (72, 96, 3)).astype(np.uint8)
            x, y = (int(v) for v in random.integers(0, (96 - WIDTH + 1, 72 - HEIGHT + 1)))
            scene[y : y + HEIGHT, x : x + WIDTH] = person(number, 2, index)
            in_test = index % 3 == 2
            part = "car_ims" if whole else "cars_test" if in_test else "cars_train"
            name = f"{total:06d}.jpg" if whole else f"{total:05d}.jpg"
            save(folder / part / name, scene)
            box = dict(zip(corners, (x + 1, y + 1, x + WIDTH, y + HEIGHT), strict=True))  # from 1, inclusive
            row = box | {"class": number, "fname": name, "relative_im_path": f"car_ims/{name}", "test": int(in_test)}
            for table in ("cars_annos",) if whole else (f"{part}_annos", f"{part}_annos_withlabels"):
                rows.setdefault(table, []).append(row)
    meta = {"class_names": np.array([[*map(str, CARS196_NAMES)]], object)}
    kit = folder if whole else folder / "devkit"
    kit.mkdir(exist_ok=True)
    tables = ["cars_annos"] if whole else ["cars_train_annos", "cars_test_annos"]
    if not whole:
        scipy.io.savemat(kit / "cars_meta.mat", meta)
        if labelled:  # as it is usually put: beside the kit
            save_annotations(folder / "cars_test_annos_withlabels.mat", rows, fields)
    for table in tables:
        save_annotations(kit / f"{table}.mat", rows, fields, meta if whole else {})
    for part in ("car_ims", "cars_train", "cars_test") if form.endswith(" archives") else ():
        if (folder / part).is_dir():
            with tarfile.open(folder / f"{part}.tgz", "w:gz") as tar:
                tar.add(folder / part, arcname=part)
            shutil.rmtree(folder / part)
    return folder


def save_annotations(
    file: Path, rows: dict[str, list[dict[str, object]]], fields: dict[str, tuple[str, ...]], more: dict | None = None
) -> None:
    """A structure array `annotations` as MATLAB writes it: each value an array of its own, of the smallest type."""
    names = fields[file.stem]
    found = np.empty((1, len(rows[file.stem])), [(name, object) for name in names])
    for column, row in enumerate(rows[file.stem]):
        for name in names:
            value = row[name]
            found[name][0, column] = (
                np.array([value]) if isinstance(value, str) else np.array([[value]], np.min_scalar_type(value))
            )
    scipy.io.savemat(file, {"annotations": found} | (more or {}))


def change(file: Path, **columns: object) -> None:
    """Rewrites annotations: another value in the first row (a callable: in every row), or without a field (None)."""
    found = scipy.io.loadmat(file)["annotations"]
    kept = [name for name in found.dtype.names if columns.get(name, 0) is not None]
    rows = [{name: found[name][0, i].ravel()[0] for name in kept} for i in range(found.size)]
    rows = [{k: v if isinstance(v, str) else int(v) for k, v in row.items()} for row in rows]
    for name, value in columns.items():
        for row in rows if callable(value) else rows[:1] if value is not None else []:
            row[name] = value(row[name]) if callable(value) else value
    save_annotations(file, {file.stem: rows}, {file.stem: tuple(kept)})
