"""Cars196 (Stanford Cars) -> a prepared data set.

    python -m dataset.prepare.cars196 --root cars196 --out data/cars196

As in the literature on metric learning: classes 1 to 98 are for training (train.csv), 99 to 196 for testing, each image
a query against all others (test.csv). --root holds cars_annos.mat and car_ims, or the development kit's files and
cars_train and cars_test; archives of images are read as they are, into OUT/images. With --crop the images are cut to
their boxes. Krause et al.: 3D Object Representations for Fine-Grained Categorization, 3dRR 2013; the split is that of
Song et al., CVPR 2016.
"""

import argparse
import sys
from pathlib import Path

from dataset.formats.manifest import Tables
from dataset.sources.box_crops import crop_images, refuse_boxes_outside
from dataset.sources.cars196_lists import LABELLED_TEST, META, Cars, read_cars
from dataset.sources.counts import Benchmark
from dataset.sources.layout import open_root, split_classes
from dataset.sources.published_set import Command, Found
from dataset.sources.stored_images import StoredImages

TRAIN_CLASSES = 98
IMAGES = {True: (8_054, 8_131), False: (4_052, 4_092)}  # training, test: of the whole set, of its official first half


def benchmark(complete: bool) -> Benchmark:
    """What was published; of the official training images alone, what the split makes of them."""
    train, test = IMAGES[complete]
    part = "" if complete else ", official training images only"
    return Benchmark(
        title=f"Cars196{part}",
        origin=f"Cars196{part} (Krause et al., 3dRR 2013)",
        licence="images of various photographers, for non-commercial research; see the data set's page",
        published={"train_images": train, "train_identities": 98, "test_images": test, "test_identities": 98},
    )


def make_tables(cars: Cars) -> Tables:
    """train.csv and test.csv, class by class; an identity is the name of a class, its number where no names are given.

    Raises:
        UserError: when one of them would be empty.
    """
    ordered = sorted(cars.classes.items(), key=lambda item: (item[1], item[0]))
    rows = [(number, (cars.names.get(number, f"{number:03d}"), path)) for path, number in ordered]
    return split_classes(rows, TRAIN_CLASSES, ", ".join(cars.files))


def notes_on(cars: Cars) -> tuple[str, ...]:
    """What is to be said of annotations that are less than all."""
    notes = []
    if not cars.complete:
        what = f"the {cars.unlabelled} images of" if cars.unlabelled else "the images of"
        notes.append(
            f"note: {what} cars_test are left out: their classes are not given ({LABELLED_TEST} has them); "
            "published figures are of the whole set"
        )
    if not cars.names:
        notes.append(f"note: there is no {META}: identities are the numbers of the classes, not their names")
    return tuple(notes)


def find(args: argparse.Namespace) -> Found:
    """The annotations, and what is wrong with the images in folders and archives."""
    root = open_root(args.root, ())
    cars = read_cars(root)
    images = StoredImages(root, {path.split("/")[0] for path in cars.classes})
    tables = make_tables(cars)
    problems, sizes = images.look_at(list(cars.classes), args.check, args.crop)

    def make_images(folder: Path, paths: list[str]) -> None:
        if args.crop:
            refuse_boxes_outside(sizes, cars.boxes, root)
        if images.archives:
            print(f"{images.write(folder, paths)} images extracted to {args.out}/images")
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
    "cars_annos.mat and car_ims, or cars_train_annos.mat (here or in devkit) and cars_train, cars_test; images in "
    "folders or in archives (.tgz, .tar)",
    crop="cut the images to their boxes",
)

if __name__ == "__main__":
    sys.exit(main())
