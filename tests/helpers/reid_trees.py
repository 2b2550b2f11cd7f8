"""Small trees in the official forms of person re-identification and retrieval data sets, for tests.

People are two colours, one above the other, in each camera's light and with noise, so that a small network can learn
them. What a name or a picture shows depends on its arguments alone.
"""

from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image

WIDTH, HEIGHT = 24, 48
FIRST_TEST_CLASS = 101  # of CUB-200-2011


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


def split(train: int, test: int) -> tuple[list[int], list[int]]:
    """Identities of training (2, 4, ...) and test (1, 3, ...): mixed, as in Market-1501."""
    return [2 * i + 2 for i in range(train)], [2 * i + 1 for i in range(test)]


def make_market1501(
    folder: Path,
    train: int = 4,
    test: int = 4,
    cameras: int = 3,
    images: int = 3,
    junk: int = 4,
    distractors: int = 4,
    gt_bbox: bool = True,
) -> Path:
    """Market-1501: of each identity and camera `images` images, in the test set besides one query.

    Images: train * cameras * images; test * cameras; test * cameras * images + junk + distractors. As in the real one,
    there is a Thumbs.db, and one name ends in .jpg.jpg. gt_bbox has `images` boxes of each identity and camera.
    """

    def name(identity: int, camera: int, number: int) -> str:
        who = "-1" if identity < 0 else f"{identity:04d}"
        return f"{who}_c{camera}s{1 + number % 2}_{25 * number + 26:06d}_{number:02d}.jpg"

    train_ids, test_ids = split(train, test)
    for camera in range(1, cameras + 1):
        for identity in train_ids:
            for number in range(1, images + 1):
                save(folder / "bounding_box_train" / name(identity, camera, number), person(identity, camera, number))
        for identity in test_ids:
            save(folder / "query" / name(identity, camera, 0), person(identity, camera, 0))
            for number in range(1, images + 1):
                save(folder / "bounding_box_test" / name(identity, camera, number), person(identity, camera, number))
        for identity in (train_ids + test_ids) * gt_bbox:
            for number in range(images):
                save(folder / "gt_bbox" / name(identity, camera, number), person(identity, camera, number + 50))
    for number in range(junk):
        save(folder / "bounding_box_test" / name(-1, 1 + number % cameras, number), person(-1, 1, number)[:16])
    for number in range(distractors):
        camera = 1 + number % cameras
        save(folder / "bounding_box_test" / name(0, camera, number), person(1000 + number, camera, number))
    last = folder / "bounding_box_test" / name(test_ids[-1], cameras, images)
    last.rename(last.with_name(last.name + ".jpg"))
    (folder / "bounding_box_test" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "readme.txt").write_text("a data set\n")
    return folder


def make_dukemtmc(
    folder: Path, train: int = 4, test: int = 4, cameras: int = 3, images: int = 3, extra: int = 2
) -> Path:
    """DukeMTMC-reID: as `make_market1501`; `extra` identities of the gallery have no query."""

    def name(identity: int, camera: int, number: int) -> str:
        return f"{identity:04d}_c{camera}_f{46_000 + 120 * number:07d}.jpg"

    train_ids, test_ids = split(train, test)
    for camera in range(1, cameras + 1):
        for number in range(images + 1):
            if number:
                for identity in train_ids:
                    file = folder / "bounding_box_train" / name(identity, camera, number)
                    save(file, person(identity, camera, number))
            for identity in test_ids:
                part = "bounding_box_test" if number else "query"
                save(folder / part / name(identity, camera, number), person(identity, camera, number))
    for identity in range(5000, 5000 + extra):
        save(folder / "bounding_box_test" / name(identity, 1, 1), person(identity, 1, 1))
    (folder / "CITATION.txt").write_text("a data set\n")
    return folder


def make_mars(
    folder: Path,
    train: int = 4,
    test: int = 4,
    cameras: int = 3,
    tracks: int = 2,
    frames: int = 3,
    junk: int = 3,
    distractors: int = 3,
    pictures: bool = True,
) -> Path:
    """MARS: of each identity and camera `tracks` tracks of `frames` images; the first of a test one is a query.

    `junk` and `distractors` are numbers of tracks. Without `pictures` there are only the lists and tables.
    """
    train_ids, test_ids = split(train, test)
    people = {
        "train": [(i, c, t) for i in train_ids for c in range(1, cameras + 1) for t in range(1, tracks + 1)],
        "test": [(-1, 1, t + 1) for t in range(junk)]
        + [(0, 2, t + 1) for t in range(distractors)]
        + [(i, c, t) for i in test_ids for c in range(1, cameras + 1) for t in range(1, tracks + 1)],
    }
    (folder / "info").mkdir(parents=True, exist_ok=True)
    for part, members in people.items():
        names, table = [], []
        for identity, camera, track in members:
            who = "00-1" if identity < 0 else f"{identity:04d}"
            table.append((len(names) + 1, len(names) + frames, identity, camera))
            for frame in range(1, frames + 1):
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


def cuhk03_people(train: int, test: int) -> list[tuple[int, int, int]]:
    """(label, pair of cameras, number in the pair) of each person, over two of the five pairs; labels from 1."""
    return [(i + 1, 1 + i % 2, 1 + i // 2) for i in range(train + test)]


def make_cuhk03(folder: Path, train: int = 4, test: int = 3, images: int = 3) -> Path:
    """CUHK03's archive and the lists of its new protocol, for both kinds of boxes.

    The first `train` persons are for training. Of each person and camera there are `images` (at most 5) images; in the
    test one of them is the query. The last `detected` image of the first person is missing.
    """
    people = cuhk03_people(train, test)
    folder.mkdir(parents=True, exist_ok=True)
    # The real file starts with MATLAB's header of 512 bytes, too.
    with h5py.File(folder / "cuhk-03.mat", "w", userblock_size=512) as file:
        for kind in ("detected", "labeled"):
            pairs = file.create_dataset(kind, (1, 5), h5py.ref_dtype)
            lists: dict[str, list] = {"labels": [], "filelist": [], "camId": []}
            sets: dict[str, list[int]] = {"train_idx": [], "query_idx": [], "gallery_idx": []}
            for pair in range(1, 6):
                members = [(label, number) for label, where, number in people if where == pair]
                cells = file.create_dataset(f"#refs#/{kind}{pair}", (10, max(1, len(members))), h5py.ref_dtype)
                pairs[0, pair - 1] = cells.ref
                for column in range(10):
                    camera, index = 1 + column // 5, column % 5
                    for row in range(cells.shape[1]):
                        cell = f"#refs#/{kind}{pair}_{column}_{row}"
                        label = members[row][0] if members else 0
                        missing = (kind, label, column) == ("detected", 1, 5 + images - 1)
                        if not members or index >= images or missing:
                            cells[column, row] = file.create_dataset(cell, data=np.zeros(2, np.uint64)).ref
                            continue
                        pixels = person(label, camera, index + (50 if kind == "detected" else 0))
                        cells[column, row] = file.create_dataset(cell, data=pixels.transpose(2, 1, 0)).ref
                        lists["filelist"].append(f"{pair}_{row + 1:03d}_{camera}_{column + 1:02d}.png")
                        lists["labels"].append(label)
                        lists["camId"].append(camera)
                        role = "train_idx" if label <= train else "gallery_idx" if index else "query_idx"
                        sets[role].append(len(lists["labels"]))
            names = np.empty((len(lists["filelist"]), 1), object)
            names[:, 0] = lists["filelist"]
            columns = {
                key: np.array(values)[:, None].astype(float)
                for key, values in (lists | sets).items()
                if key != "filelist"
            }
            scipy.io.savemat(folder / f"cuhk03_new_protocol_config_{kind}.mat", columns | {"filelist": names})
    return folder


def make_cuhk03_np(folder: Path, train: int = 4, test: int = 3, images: int = 3) -> Path:
    """CUHK03-NP: the same images as `make_cuhk03` (none missing), extracted into three folders for each kind."""
    for kind in ("detected", "labeled"):
        for label, _, _ in cuhk03_people(train, test):
            for camera in (1, 2):
                for index in range(images):
                    part = "bounding_box_train" if label <= train else "bounding_box_test" if index else "query"
                    pixels = person(label, camera, index + (50 if kind == "detected" else 0))
                    save(folder / kind / part / f"{label:04d}_c{camera}_{5 * (camera - 1) + index + 1}.png", pixels)
    return folder


def make_sop(folder: Path, train: int = 4, test: int = 4, images: int = 3) -> Path:
    """Stanford Online Products: `images` images of each product, products of two kinds."""
    kinds, image_id = ("bicycle", "chair"), 0
    for part, members in (("train", range(1, train + 1)), ("test", range(train + 1, train + test + 1))):
        lines = ["image_id class_id super_class_id path"]
        for product in members:
            kind = product % len(kinds)
            for number in range(images):
                image_id += 1
                path = f"{kinds[kind]}_final/{111085122870 + product}_{number}.JPG"
                save(folder / path, person(product, 2, number))
                lines.append(f"{image_id} {product} {kind + 1} {path}")
        (folder / f"Ebay_{part}.txt").write_text("\n".join(lines) + "\n")
    return folder


def make_cub(folder: Path, train: int = 3, test: int = 3, images: int = 3) -> Path:
    """CUB-200-2011: classes 1 .. train and 101 .. 100 + test; the box shows what tells them apart; one is grey."""
    numbers = [*range(1, train + 1), *range(FIRST_TEST_CLASS, FIRST_TEST_CLASS + test)]
    lists: dict[str, list[str]] = {"images": [], "image_class_labels": [], "classes": [], "bounding_boxes": []}
    image_id = 0
    for number in numbers:
        name = f"{number:03d}.Painted_Bird_{number}"
        lists["classes"].append(f"{number} {name}")
        for index in range(images):
            image_id += 1
            random = np.random.default_rng([number, index])
            scene = random.integers(0, 256, (72, 64, 3)).astype(np.uint8)
            x, y = (int(v) for v in random.integers(0, (64 - WIDTH, 72 - HEIGHT)))
            scene[y : y + HEIGHT, x : x + WIDTH] = person(number, 2, index)
            path = f"{name}/Painted_Bird_{number}_{index:04d}_{image_id}.jpg"
            save(folder / "images" / path, scene[:, :, 1] if image_id == images else scene)
            lists["images"].append(f"{image_id} {path}")
            lists["image_class_labels"].append(f"{image_id} {number}")
            lists["bounding_boxes"].append(f"{image_id} {x:.1f} {y:.1f} {WIDTH:.1f} {HEIGHT:.1f}")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder
