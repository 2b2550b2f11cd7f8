"""Small files under the names that the pages use: raw data sets, prepared ones, lists, images, and runs."""

import csv
import functools
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from helpers.commands import command
from helpers.documented_programs.short_python import RENDERED
from helpers.reid_trees import (
    make_cars196,
    make_cub,
    make_cuhk03,
    make_dukemtmc,
    make_market1501,
    make_mars,
    make_sop,
    person,
    save,
)
from helpers.tiny import make_dataset, make_run
from helpers.vid_tree import make_root

Need = Callable[[str], Path]
Maker = Callable[[Path, Need], object]
VIDEO = "ILSVRC2015_val_00000000"


class Store:
    """Files by the names that the pages use, each made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def need(self, name: str) -> Path:
        """Where the files of this name are."""
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            MAKERS[name](path, self.need)
        return path

    def embed(self, images: str, *words: object) -> Path:
        """A file of the images' embeddings."""
        out = self.folder / "embeddings" / f"{images.replace('/', ' ')}.h5"
        if not out.exists():
            out.parent.mkdir(exist_ok=True)
            words = ("--dataset", self.folder / images, *words)
            call("embed.py", "--model_dir", self.need("RUN"), *words, "--filename", out)
        return out


def call(*words: object) -> None:
    """A command that must succeed."""
    done = command(*words)
    assert done.returncode == 0, done.stderr


def raw(make: Callable[[Path], object]) -> Maker:
    """A data set as it is downloaded."""
    return lambda path, need: make(path)


def prepared(name: str, source: str, *words: str, option: str = "--root") -> Maker:
    """A data set that a command of dataset.prepare makes."""
    return lambda path, need: call("-m", f"dataset.prepare.{name}", option, need(source), *words, "--out", path)


def image_list(name: str) -> Maker:
    """`identity,path` of Market-1501, without a header."""

    def make(path: Path, need: Need) -> None:
        with open(need("data/market1501") / name, newline="") as file:
            rows = [(row["identity"], row["path"]) for row in csv.DictReader(file)]
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows(rows)

    return make


def make_archived_cars(folder: Path) -> None:
    """Cars196's training file alone, with its annotations next to it."""
    make_cars196(folder, train=4, test=4, images=6, form="devkit archives", labelled=False)
    (folder / "cars_test.tgz").unlink()
    for file in (folder / "devkit").iterdir():
        file.rename(folder / file.name)


def make_videos(folder: Path) -> None:
    """ImageNet VID; one of its videos is there as `NAME`, too."""
    make_root(folder)
    for part in ("Data", "Annotations"):
        videos = folder / part / "VID" / "val"
        shutil.copytree(videos / VIDEO, videos / "NAME")


def make_vid(path: Path, need: Need) -> None:
    """ImageNet VID's crops, lists and episodes."""
    call("-m", "dataset.prepare.imagenetvid", "crop", "--root", need("data/ILSVRC2015"), "--out", path)
    call("-m", "dataset.prepare.imagenetvid", "curate", "--out", path, "--episodes", "20")


def make_photos(folder: Path) -> None:
    """A folder for each identity."""
    made = make_dataset(folder.with_name("prepared photos"), identities=8)
    (made / "images").rename(folder)
    shutil.rmtree(made)


def make_photo_list(path: Path, need: Need) -> None:
    """`identity,path` of the photos."""
    photos = need("photos")
    rows = [(file.parent.name, file.relative_to(photos).as_posix()) for file in sorted(photos.rglob("*.jpg"))]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def make_drawings(folder: Path) -> None:
    """Characters, one on each image."""
    for number in range(3):
        save(folder / f"{number}.png", person(number, 2, 0)[:, :, 0])


def make_characters(file: Path) -> None:
    """One of Omniglot's archives; the other has other characters."""
    drawings, first = file.with_suffix(""), 4 * ("evaluation" in file.name)
    with zipfile.ZipFile(file, "w") as archive:
        for identity in range(first, first + 4):
            for number in range(4):
                drawing = drawings / "Greek" / f"character{identity:02d}" / f"{identity:04d}_{number:02d}.png"
                save(drawing, person(identity, 2, number)[:, :, 0])
                archive.write(drawing, drawing.relative_to(file.parent))
    shutil.rmtree(drawings)


def make_finished_run(path: Path, need: Need) -> None:
    """A run with everything that a run can have."""
    dataset = make_dataset(path.with_name("tiny"))
    call("train.py", "--model_dir", make_run(path, dataset, detailed_log=True, csv_log=True))
    call("evaluate.py", "--model_dir", path)
    logged = sorted((path / "detailed").glob("*.npz"))
    shutil.copy(logged[-1], path / "detailed" / "00000500.npz")


def make_omniglot(path: Path, need: Need) -> None:
    """Omniglot from its two archives."""
    words = ("--background", need("images_background.zip"), "--evaluation", need("images_evaluation.zip"))
    call("-m", "dataset.prepare.omniglot", *words, "--out", path)


def make_export(path: Path, need: Need) -> None:
    """The finished run's network in Keras's format."""
    call("export.py", "--model_dir", need("RUN"), "--format", "keras", "--out", path)


MAKERS: dict[str, Maker] = {
    "Market-1501-v15.09.15": raw(make_market1501),
    "DukeMTMC-reID": raw(make_dukemtmc),
    "MARS": raw(make_mars),
    "cuhk03": raw(make_cuhk03),
    "Stanford_Online_Products": raw(make_sop),
    "CUB_200_2011": raw(make_cub),
    "cars196": raw(functools.partial(make_cars196, train=4, test=4, images=4)),
    "DIR": raw(make_archived_cars),
    "images_background.zip": raw(make_characters),
    "images_evaluation.zip": raw(make_characters),
    "ILSVRC2015": raw(make_videos),
    "data/ILSVRC2015": raw(make_videos),
    "photos": raw(make_photos),
    "drawings": raw(make_drawings),
    "a.jpg": raw(lambda path: save(path, person(1, 1, 0))),
    "b.jpg": raw(lambda path: save(path, person(1, 2, 0))),
    "c.jpg": raw(lambda path: save(path, person(2, 1, 0))),
    "images.csv": make_photo_list,
    "query.csv": image_list("query.csv"),
    "gallery.csv": image_list("gallery.csv"),
    "market1501_train.csv": image_list("train.csv"),
    "market1501_query.csv": image_list("query.csv"),
    "market1501_test.csv": image_list("gallery.csv"),
    "data/market1501": prepared("market1501", "Market-1501-v15.09.15"),
    "data/mars": prepared("mars", "MARS"),
    "data/sop": prepared("sop", "Stanford_Online_Products"),
    "data/cars196": prepared("cars196", "cars196"),
    "data/cars196_crops": prepared("cars196", "cars196", "--crop"),
    "data/cars196_small": prepared("cars196", "DIR"),
    "data/omniglot": make_omniglot,
    "data/photos": prepared("folder", "photos", option="--images"),
    "data/imagenetvid": make_vid,
    "data/synthetic_vid": lambda path, need: call("-m", "dataset.prepare.synthetic_vid", "--out", path, *RENDERED),
    "data/images": lambda path, need: path.symlink_to(need("cars196")),
    "exports/my_run": make_export,
    "RUN": make_finished_run,
}
