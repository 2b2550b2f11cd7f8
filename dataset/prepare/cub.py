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
from dataset.sources.box_crops import crop_images
from dataset.sources.counts import Benchmark
from dataset.sources.layout import open_root, split_classes
from dataset.sources.published_set import add_arguments, write_data_set
from dataset.sources.word_lists import by_number
from runtime.errors import UserError, exit_code

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
    images = by_number(root / "images.txt", "image_id path")
    labels = by_number(root / "image_class_labels.txt", "image_id class_id")
    classes = by_number(root / "classes.txt", "class_id name")
    labelled: list[tuple[int, Row]] = []
    numbers: dict[str, str] = {}
    for number, (path,) in images.items():
        if number not in labels:
            raise UserError(f"{root / 'image_class_labels.txt'}: no class for image {number} ({path})")
        class_id = labels[number][0]
        if class_id not in classes or not class_id.isdecimal():
            raise UserError(f"{root / 'classes.txt'}: no class {class_id}, which image {number} ({path}) has")
        name = classes[class_id][0]
        if path.split("/")[0] != name:
            raise UserError(f"{root / 'images.txt'}: image {number} is {path}, but its class {class_id} is {name}")
        if path in numbers:
            raise UserError(f"{root / 'images.txt'}: {path} stands twice in it")
        numbers[path] = number
        labelled.append((int(class_id), (name, path)))
    return split_classes(labelled, TRAIN_CLASSES, str(root / "image_class_labels.txt")), numbers


def read_boxes(path: Path, numbers: dict[str, str]) -> dict[str, tuple[float, float, float, float]]:
    """Path of an image -> its box x, y, width, height, in pixels.

    Raises:
        UserError: for an image without a box, or one that is no four numbers.
    """
    lines, boxes = by_number(path, "image_id x y width height"), {}
    for image, number in numbers.items():
        if number not in lines:
            raise UserError(f"{path}: no box for image {number} ({image})")
        try:
            x, y, width, height = box = tuple(map(float, lines[number]))
        except ValueError:
            box = (math.nan,)
        if not all(map(math.isfinite, box)):
            raise UserError(f"{path}: the box of image {number} is {' '.join(lines[number])!a}, no numbers")
        boxes[image] = (x, y, width, height)
    return boxes


def prepare(args: argparse.Namespace) -> int:
    """Reads the lists, checks them, cuts the images if asked to, writes the data set."""
    root = open_root(args.root, (*PARTS, BOXES) if args.crop else PARTS)
    if args.crop and args.copy:
        raise UserError("--crop and --copy: crops are always written to OUT/images; leave --copy away")
    tables, numbers = read_lists(root)
    settings, make_images = {"cropped": args.crop}, None
    if args.crop:
        boxes = read_boxes(root / BOXES, numbers)

        def make_images(folder: Path, tables: Tables) -> None:
            wanted = sorted(row[1] for rows in tables.values() for row in rows)
            crop_images(root / "images", folder, {path: boxes[path] for path in wanted})

    write_data_set(args, BENCHMARK, root / "images", tables, settings=settings, make_images=make_images)
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    text = "CUB-200-2011 -> a prepared data set."
    parser = argparse.ArgumentParser(prog="python -m dataset.prepare.cub", description=text)
    add_arguments(parser, "CUB_200_2011: images, images.txt, image_class_labels.txt, classes.txt, bounding_boxes.txt")
    parser.add_argument("--crop", action="store_true", help="cut the images to bounding_boxes.txt (default: whole)")
    args = parser.parse_args(argv)
    return exit_code(lambda: prepare(args))


if __name__ == "__main__":
    sys.exit(main())
