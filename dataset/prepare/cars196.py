"""Prepares Cars196 (Stanford Cars): train.csv with classes 1 to 98, test.csv with classes 99 to 196.

    python -m dataset.prepare.cars196 --root cars196 --out data/cars196

This is the usual split for metric learning (Song et al., CVPR 2016). In test.csv, each image is a query against all
others. --root must have cars_annos.mat and car_ims, or the files of the development kit with cars_train and cars_test.
Archives of images are extracted to OUT/images. --crop cuts the images to their boxes. Source: Krause et al.: 3D Object
Representations for Fine-Grained Categorization, 3dRR 2013.
"""

import argparse
import sys
from pathlib import Path

from dataset.formats.inside import check_inside
from dataset.formats.manifest import Tables
from dataset.sources.box_crops import crop_images, refuse_boxes_outside
from dataset.sources.cars196_lists import LABELLED_TEST, META, Cars, read_cars
from dataset.sources.counts import Benchmark
from dataset.sources.layout import open_root, split_classes
from dataset.sources.published_set import Command, Found
from dataset.sources.stored_images import StoredImages
from runtime.printable import print_line

TRAIN_CLASSES = 98
IMAGES = {True: (8_054, 8_131), False: (4_052, 4_092)}  # training and test images: whole set, official training half


def benchmark(complete: bool) -> Benchmark:
    """The published description of the whole set, or of the split applied to the official training images."""
    train, test = IMAGES[complete]
    part = "" if complete else ", official training images only"
    return Benchmark(
        title=f"Cars196{part}",
        origin=f"Cars196{part} (Krause et al., 3dRR 2013)",
        licence="images of various photographers, for non-commercial research; see the data set's page",
        published={"train_images": train, "train_identities": 98, "test_images": test, "test_identities": 98},
    )


def make_tables(cars: Cars) -> Tables:
    """train.csv and test.csv, class by class. An identity is the name of a class, or its number if there are no names.

    Raises:
        UserError: when one of them would be empty.
    """
    ordered = sorted(cars.classes.items(), key=lambda item: (item[1], item[0]))
    rows = [(number, (cars.names.get(number, f"{number:03d}"), path)) for path, number in ordered]
    return split_classes(rows, TRAIN_CLASSES, ", ".join(cars.files))


def notes_on(cars: Cars) -> tuple[str, ...]:
    """Lines of the report about missing annotations."""
    notes = []
    if not cars.complete:
        what = f"the {cars.unlabelled} images of" if cars.unlabelled else "the images of"
        notes.append(
            f"note: {what} cars_test are excluded, as their classes are missing (they are in {LABELLED_TEST}); "
            "published results use the whole set"
        )
    if not cars.names:
        notes.append(f"note: there is no {META}; identities are numbers of classes instead of names")
    return tuple(notes)


def find(args: argparse.Namespace) -> Found:
    """The annotated images, checked, in folders or archives."""
    root = open_root(args.root, ())
    cars = read_cars(root)
    check_inside(root, cars.classes, ", ".join(str(root / file) for file in cars.files))
    images = StoredImages(root, {path.split("/")[0] for path in cars.classes})
    tables = make_tables(cars)
    problems, sizes = images.look_at(list(cars.classes), args.check, args.crop)

    def make_images(folder: Path, paths: list[str]) -> None:
        if args.crop:
            refuse_boxes_outside(sizes, cars.boxes, root)
        if images.archives:
            print_line(f"{images.write(folder, paths)} images extracted to {args.out}/images")
        if args.crop:
            crop_images(folder if images.archives else root, paths, cars.boxes, folder)

    return Found(
        benchmark(cars.complete),
        root,
        tables,
        settings={
            "cropped": args.crop,
            "annotations": list(cars.files),
            "unlabelled_images_left_out": cars.unlabelled,
        },
        notes=notes_on(cars),
        make_images=make_images if args.crop or images.archives else None,
        problems=problems,
    )


main = Command(
    "cars196",
    __doc__,
    find,
    "folder with cars_annos.mat and car_ims; or with cars_train_annos.mat (here or in devkit), cars_train and "
    "cars_test. The images may be in folders or in archives (.tgz, .tar)",
    crop="cut the images to their boxes",
)

if __name__ == "__main__":
    sys.exit(main())
