"""Small trees in the official forms of person re-identification and retrieval data sets, for tests.

A person is two colours, one above the other, with the light of a camera and noise: a small network can learn them.
Names and pictures depend only on the arguments.
"""

import itertools
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from numpy.lib.recfunctions import repack_fields
from PIL import Image

WIDTH, HEIGHT = 24, 48


def person(identity: int, camera: int, number: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8."""
    upper, lower = np.random.default_rng([7, identity + 2]).integers(30, 226, (2, 3))
    random = np.random.default_rng([identity + 2, camera, number])
    pixels = np.repeat(np.stack([upper, lower]), HEIGHT // 2, axis=0)[:, None] + np.zeros((1, WIDTH, 1))
    pixels = np.roll(pixels, int(random.integers(-4, 5)), axis=0) * (0.7 + 0.15 * camera)
    return np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)


def save(file: Path, pixels: np.ndarray) -> None:
    """Writes a JPEG or PNG, as the name says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, quality=95)


def put_people(folder: Path, name: Callable[[int, int, int], str], sizes: tuple[int, int, int, int]) -> list[int]:
    """Writes the three folders of Market-1501 with names of its form. Returns the identities, test ones first.

    Training identities are 2, 4, ... and test identities 1, 3, ...: mixed, as in Market-1501. Each identity has images
    number 1, 2, ... from each camera; a test identity also has the query, number 0.
    """
    train, test, cameras, images = sizes
    ids = {"bounding_box_test": range(1, 2 * test, 2), "bounding_box_train": range(2, 2 * train + 1, 2)}
    for part, identities in ids.items():
        for identity, camera, number in itertools.product(identities, range(1, cameras + 1), range(images + 1)):
            if number:
                save(folder / part / name(identity, camera, number), person(identity, camera, number))
            elif part == "bounding_box_test":
                save(folder / "query" / name(identity, camera, 0), person(identity, camera, 0))
    return [identity for identities in ids.values() for identity in identities]


def make_market1501(folder: Path, train: int = 4, test: int = 4, cameras: int = 3, images: int = 3) -> Path:
    """Market-1501: `put_people`, and 4 junk and 4 distractor images.

    Like the real one, it has a Thumbs.db, and one name ends in .jpg.jpg. gt_bbox has `images` boxes per identity and
    camera.
    """

    def name(identity: int, camera: int, number: int) -> str:
        who = "-1" if identity < 0 else f"{identity:04d}"
        return f"{who}_c{camera}s{1 + number % 2}_{25 * number + 26:06d}_{number:02d}.jpg"

    gallery = folder / "bounding_box_test"
    people = put_people(folder, name, (train, test, cameras, images))
    for identity, camera, number in itertools.product(people, range(1, cameras + 1), range(images)):
        save(folder / "gt_bbox" / name(identity, camera, number), person(identity, camera, number + 50))
    for number in range(4):
        camera = 1 + number % cameras
        save(gallery / name(-1, camera, number), person(-1, 1, number)[:16])
        save(gallery / name(0, camera, number), person(1000 + number, camera, number))
    last = gallery / name(2 * test - 1, cameras, images)
    last.rename(last.with_name(last.name + ".jpg"))
    (gallery / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    return folder


def make_dukemtmc(folder: Path, train: int = 4, test: int = 4, images: int = 2) -> Path:
    """DukeMTMC-reID: as `put_people`; two more identities of the gallery have no query."""

    def name(identity: int, camera: int, number: int) -> str:
        return f"{identity:04d}_c{camera}_f{46_000 + 120 * number:07d}.jpg"

    put_people(folder, name, (train, test, 2, images))
    for identity in (5000, 5001):
        save(folder / "bounding_box_test" / name(identity, 1, 1), person(identity, 1, 1))
    return folder


def make_mars(folder: Path, pictures: bool = True) -> Path:
    """MARS: 4 + 4 identities, 3 cameras, 2 tracks of 3 images each, the first of a test one a query.

    It also has 3 junk and 3 distractor tracks. Without `pictures`, it has only lists and tables.
    """
    nobody = [*itertools.product([-1], [1], [1, 2, 3]), *itertools.product([0], [2], [1, 2, 3])]
    people = {  # (identity, camera, track)
        "train": [*itertools.product([2, 4, 6, 8], [1, 2, 3], [1, 2])],
        "test": [*nobody, *itertools.product([1, 3, 5, 7], [1, 2, 3], [1, 2])],
    }
    (folder / "info").mkdir(parents=True, exist_ok=True)
    for part, members in people.items():
        names, table = [], []
        for identity, camera, track in members:
            who = "00-1" if identity < 0 else f"{identity:04d}"
            table.append((len(names) + 1, len(names) + 3, identity, camera))
            for frame in (1, 2, 3):
                names.append(f"{who}C{camera}T{track:04d}F{frame:03d}.jpg")
                if pictures:
                    shown = identity if identity > 0 else 1000 + track
                    save(folder / f"bbox_{part}" / who / names[-1], person(shown, camera, 10 * track + frame))
        (folder / "info" / f"{part}_name.txt").write_text("\n".join(names) + "\n")
        variable = {f"track_{part}_info": np.array(table, np.int32)}
        scipy.io.savemat(folder / "info" / f"tracks_{part}_info.mat", variable)
    queries = [row for row, (identity, _, track) in enumerate(people["test"], start=1) if identity > 0 and track == 1]
    scipy.io.savemat(folder / "info" / "query_IDX.mat", {"query_IDX": np.array([queries], np.uint16)})
    return folder


# CUHK03: (label, pair of cameras, number in the pair) of 4 persons of training and 3 of test, over two of five pairs.
CUHK03_PEOPLE = [(i + 1, 1 + i % 2, 1 + i // 2) for i in range(7)]


def cuhk03_person(kind: str, label: int, camera: int, index: int) -> np.ndarray:
    """Other boxes show other pixels."""
    return person(label, camera, index + (50 if kind == "detected" else 0))


def make_cuhk03(folder: Path) -> Path:
    """CUHK03's archive and the lists of its new protocol, for both kinds of boxes.

    Each person has 3 images from each camera; in the test, one of them is the query. The last `detected` image of the
    first person is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The real file starts with MATLAB's header of 512 bytes, too.
    with h5py.File(folder / "cuhk-03.mat", "w", userblock_size=512) as file:
        for kind in ("detected", "labeled"):
            pairs, rows = file.create_dataset(kind, (1, 5), h5py.ref_dtype), []
            for pair in range(1, 6):
                members = [label for label, where, _ in CUHK03_PEOPLE if where == pair] or [0]
                cells = file.create_dataset(f"#refs#/{kind}{pair}", (10, len(members)), h5py.ref_dtype)
                pairs[0, pair - 1] = cells.ref
                for column, row in np.ndindex(cells.shape):
                    label, camera, index, data = members[row], 1 + column // 5, column % 5, np.zeros(2, np.uint64)
                    if label and index <= 2 and (kind, label, column) != ("detected", 1, 7):
                        data = cuhk03_person(kind, label, camera, index).transpose(2, 1, 0)
                        part = "train_idx" if label <= 4 else "gallery_idx" if index else "query_idx"
                        rows.append((f"{pair}_{row + 1:03d}_{camera}_{column + 1:02d}.png", label, camera, part))
                    cells[column, row] = file.create_dataset(f"#refs#/{kind}{pair}_{column}_{row}", data=data).ref
            names, labels, cameras, parts = (np.array(values, object)[:, None] for values in zip(*rows, strict=True))
            columns = {"filelist": names, "labels": labels.astype(float), "camId": cameras.astype(float)}
            for part in ("train_idx", "query_idx", "gallery_idx"):
                columns[part] = 1.0 + np.flatnonzero(parts == part)[:, None]
            scipy.io.savemat(folder / f"cuhk03_new_protocol_config_{kind}.mat", columns)
    return folder


def make_cuhk03_np(folder: Path) -> Path:
    """CUHK03-NP: the same images as `make_cuhk03` (none missing), extracted into three folders for each kind."""
    for kind in ("detected", "labeled"):
        for (label, _, _), camera, index in itertools.product(CUHK03_PEOPLE, (1, 2), range(3)):
            part = "bounding_box_train" if label <= 4 else "bounding_box_test" if index else "query"
            name = f"{label:04d}_c{camera}_{5 * (camera - 1) + index + 1}.png"
            save(folder / kind / part / name, cuhk03_person(kind, label, camera, index))
    return folder


def make_sop(folder: Path, train: int = 4, test: int = 4, images: int = 3) -> Path:
    """Stanford Online Products: `images` images of each product, products of two kinds."""
    image_id = 0
    for part, members in (("train", range(1, train + 1)), ("test", range(train + 1, train + test + 1))):
        lines = ["image_id class_id super_class_id path"]
        for product, number in itertools.product(members, range(images)):
            image_id += 1
            kind, name = 1 + product % 2, ("bicycle", "chair")[product % 2]
            path = f"{name}_final/{111085122870 + product}_{number}.JPG"
            save(folder / path, person(product, 2, number))
            lines.append(f"{image_id} {product} {kind} {path}")
        (folder / f"Ebay_{part}.txt").write_text("\n".join(lines) + "\n")
    return folder


def make_cub(folder: Path) -> Path:
    """CUB-200-2011: 2 images of classes 1, 2, 101, 102 and 103; the box shows what tells them apart; one is grey."""
    lists: dict[str, list[str]] = {"images": [], "image_class_labels": [], "classes": [], "bounding_boxes": []}
    for image_id, (number, index) in enumerate(itertools.product((1, 2, 101, 102, 103), range(2)), start=1):
        name = f"{number:03d}.Painted_Bird_{number}"
        random = np.random.default_rng([number, index])
        scene = random.integers(0, 256, (72, 64, 3)).astype(np.uint8)
        x, y = (int(v) for v in random.integers(0, (64 - WIDTH, 72 - HEIGHT)))
        scene[y : y + HEIGHT, x : x + WIDTH] = person(number, 2, index)
        path = f"{name}/Painted_Bird_{number}_{index:04d}_{image_id}.jpg"
        save(folder / "images" / path, scene[:, :, 1] if image_id == 2 else scene)
        lists["images"].append(f"{image_id} {path}")
        lists["image_class_labels"].append(f"{image_id} {number}")
        lists["bounding_boxes"].append(f"{image_id} {x:.1f} {y:.1f} {WIDTH:.1f} {HEIGHT:.1f}")
        if not index:
            lists["classes"].append(f"{number} {name}")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


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
        if labelled:  # usually put next to the kit
            save_annotations(folder / "cars_test_annos_withlabels.mat", rows["cars_test"], fields)
    for part in [part for part in rows if rows[part] and form.endswith(" archives")]:
        with tarfile.open(folder / f"{part}.tgz", "w:gz") as tar:
            tar.add(folder / part, arcname=part)
        shutil.rmtree(folder / part)
    return folder


def boxed(value: object) -> np.ndarray:
    """A value of a structure as MATLAB writes it: its own array, of the smallest type."""
    return np.array([value]) if isinstance(value, str) else np.array([[value]], np.min_scalar_type(value))


def save_annotations(file: Path, rows: list[dict[str, object]], fields: tuple[str, ...], **more: object) -> None:
    """A structure array `annotations`, and `more` variables."""
    found = np.empty((1, len(rows)), [(name, object) for name in fields])
    for column, row in enumerate(rows):
        for name in fields:
            found[name][0, column] = boxed(row[name])
    scipy.io.savemat(file, {"annotations": found} | more)


def change_annotations(file: Path, **columns: object) -> None:
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
