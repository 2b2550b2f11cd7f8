"""CUB-200-2011 -> a prepared data set.

    python -m dataset.prepare.cub --root CUB_200_2011 --out data/cub

As in the literature on metric learning: the first 100 classes are for training (train.csv), the other 100 for testing,
each image a query against all others (test.csv). With --crop the images are cut to bounding_boxes.txt, into OUT/images.
Wah et al.: The Caltech-UCSD Birds-200-2011 Dataset, 2011; the split is that of Song et al., CVPR 2016.
"""

import argparse
import math
import sys
from pathlib import Path

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
    """train.csv and test.csv, their paths starting at root/images; and path -> number of the image.

    Raises:
        UserError: when an image has no class, a class no name, or an image lies in another class's folder.
    """
    images = read_words(root / "images.txt", "image_id path", once="image_id path")
    labels = dict(read_words(root / "image_class_labels.txt", "image_id class_id", once="image_id"))
    classes = dict(read_words(root / "classes.txt", "class_id name", once="class_id"))
    labelled: list[tuple[int, Row]] = []
    for number, path in images:
        if number not in labels:
            raise UserError(f"{root / 'image_class_labels.txt'}: no class for image {number} ({path})")
        class_id = labels[number]
        if class_id not in classes or not class_id.isdecimal():
            raise UserError(f"{root / 'classes.txt'}: no class {class_id}, which image {number} ({path}) has")
        name = classes[class_id]
        if path.split("/")[0] != name:
            raise UserError(f"{root / 'images.txt'}: image {number} is {path}, but its class {class_id} is {name}")
        labelled.append((int(class_id), (name, path)))
    tables = split_classes(labelled, TRAIN_CLASSES, str(root / "image_class_labels.txt"))
    return tables, {path: number for number, path in images}


def read_boxes(path: Path, numbers: dict[str, str]) -> dict[str, Box]:
    """Path of an image -> its box.

    Raises:
        UserError: for an image without a box, or one that is no four numbers.
    """
    lines = {number: box for number, *box in read_words(path, "image_id x y width height", once="image_id")}
    boxes = {}
    for image, number in numbers.items():
        if number not in lines:
            raise UserError(f"{path}: no box for image {number} ({image})")
        try:
            x, y, width, height = map(float, lines[number])
        except ValueError:
            x = y = width = height = math.nan
        if not all(map(math.isfinite, (x, y, width, height))):
            raise UserError(f"{path}: the box of image {number} is {' '.join(lines[number])!a}, no numbers")
        boxes[image] = (x, y, width, height)
    return boxes


def find(args: argparse.Namespace) -> Found:
    """The lists, and the boxes if images are to be cut to them."""
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
    "CUB_200_2011: images, images.txt, image_class_labels.txt, classes.txt, bounding_boxes.txt",
    crop="cut the images to bounding_boxes.txt",
)

if __name__ == "__main__":
    sys.exit(main())
