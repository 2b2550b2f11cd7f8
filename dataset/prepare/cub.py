"""Prepares CUB-200-2011: train.csv with the first 100 classes, test.csv with the other 100.

    python -m dataset.prepare.cub --root CUB_200_2011 --out data/cub

This is the usual split for metric learning (Song et al., CVPR 2016). In test.csv, each image is a query against all
others. --crop cuts the images to bounding_boxes.txt and writes them to OUT/images. Source: Wah et al.: The Caltech-UCSD
Birds-200-2011 Dataset, 2011.
"""

import argparse
import math
import sys
from pathlib import Path

from dataset.formats.inside import check_inside
from dataset.formats.manifest import Row, Tables
from dataset.sources.box_crops import Box, crop_images
from dataset.sources.counts import Benchmark
from dataset.sources.layout import open_root, split_classes
from dataset.sources.published_set import Command, Found
from dataset.sources.word_lists import read_words
from runtime.errors import UserError

TRAIN_CLASSES = 100
PARTS = ("images", "images.txt", "image_class_labels.txt", "classes.txt")
BOXES = "bounding_boxes.txt"
BENCHMARK = Benchmark(
    title="CUB-200-2011",
    origin="CUB-200-2011 (Wah et al., 2011)",
    licence="images of various photographers, for non-commercial research; see the data set's page",
    published={"train_images": 5_864, "train_identities": 100, "test_images": 5_924, "test_identities": 100},
)


def read_lists(root: Path) -> tuple[Tables, dict[str, str]]:
    """train.csv and test.csv, with paths that start in root/images; and path -> number of the image.

    Raises:
        UserError: when an image has no class, a class has no name, or an image is in the folder of another class or
            outside `images`.
    """
    images = read_words(root / "images.txt", "image_id path", once="image_id path")
    check_inside(root / "images", (path for _, path in images), root / "images.txt")
    labels = dict(read_words(root / "image_class_labels.txt", "image_id class_id", once="image_id"))
    classes = dict(read_words(root / "classes.txt", "class_id name", once="class_id"))
    labelled: list[tuple[int, Row]] = []
    for number, path in images:
        if number not in labels:
            what = f"no class for image {number} ({path})"
            raise UserError(f"{root / 'image_class_labels.txt'}: {what}; download it again")
        class_id = labels[number]
        if class_id not in classes or not class_id.isdecimal():
            what = f"there is no class {class_id}, but image {number} ({path}) has it"
            raise UserError(f"{root / 'classes.txt'}: {what}; download it again")
        name = classes[class_id]
        if path.split("/")[0] != name:
            what = f"image {number} is {path}, but its class {class_id} is {name}"
            raise UserError(f"{root / 'images.txt'}: {what}; download it again")
        labelled.append((int(class_id), (name, path)))
    tables = split_classes(labelled, TRAIN_CLASSES, str(root / "image_class_labels.txt"))
    return tables, {path: number for number, path in images}


def read_boxes(path: Path, numbers: dict[str, str]) -> dict[str, Box]:
    """Path of an image -> its box.

    Raises:
        UserError: for an image without a box, or a box that is not four numbers.
    """
    lines = {number: box for number, *box in read_words(path, "image_id x y width height", once="image_id")}
    boxes = {}
    for image, number in numbers.items():
        if number not in lines:
            raise UserError(f"{path}: no box for image {number} ({image}); download it again")
        try:
            x, y, width, height = map(float, lines[number])
        except ValueError:
            x = y = width = height = math.nan
        if not all(map(math.isfinite, (x, y, width, height))):
            what = f"the box of image {number} is {' '.join(lines[number])!a}"
            raise UserError(f"{path}: {what}; it must be four numbers; download it again")
        boxes[image] = (x, y, width, height)
    return boxes


def find(args: argparse.Namespace) -> Found:
    """The lists, and with --crop the boxes."""
    root = open_root(args.root, (*PARTS, BOXES) if args.crop else PARTS)
    tables, numbers = read_lists(root)
    boxes = read_boxes(root / BOXES, numbers) if args.crop else {}
    images, settings = root / "images", {"cropped": args.crop}

    def cut(folder: Path, paths: list[str]) -> None:
        crop_images(images, paths, boxes, folder)

    return Found(BENCHMARK, images, tables, settings=settings, make_images=cut if args.crop else None)


main = Command(
    "cub",
    __doc__,
    find,
    "folder CUB_200_2011 with images, images.txt, image_class_labels.txt, classes.txt, bounding_boxes.txt",
    crop="cut the images to the boxes of bounding_boxes.txt",
)

if __name__ == "__main__":
    sys.exit(main())
