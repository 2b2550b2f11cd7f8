"""Preparing Cars196: both forms of its annotations, folders and archives, whole and cropped."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers.cars196_tree import CARS196_NAMES, change, make_cars196
from helpers.preparing import Preparation
from helpers.reid_trees import HEIGHT, WIDTH
from PIL import Image

from dataset.formats.manifest import read_manifest
from dataset.prepare.cars196 import main

CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def names(*numbers: int) -> set[str]:
    return {CARS196_NAMES[number - 1] for number in numbers}


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    tree = make_cars196(tmp_path / "cars196", train=2, test=3, images=3)
    return Preparation(main, capsys, tree, tmp_path / "out")


@pytest.mark.parametrize("form", ["whole", "devkit", "whole archives", "devkit archives"])
def test_prepared_data_set(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_cars196(tmp_path / "cars196", train=2, test=3, form=form)
    prepare = Preparation(main, capsys, tree, tmp_path / "out")
    said, tables, info = prepare(), prepare.tables(), prepare.info()
    assert prepare.identities() == {"train.csv": names(1, 2), "test.csv": names(99, 100, 101)}
    assert [len(tables[name]) for name in ("train.csv", "test.csv")] == [6, 9]  # the official halves do not matter
    assert {row[1].split("/")[0] for row in tables["train.csv"]} == (
        {"car_ims"} if form.startswith("whole") else {"cars_train", "cars_test"}
    )
    assert info["image_root"] == ("images" if "archives" in form else tree.as_posix())
    assert info["counts"]["published_but_different"]["train_images"] == 8054
    assert "train images: 6 here, 8054 published" in said
    assert "test images: 9 here, 8131 published" in said
    assert "note:" not in said
    manifest = read_manifest(prepare.out / "train.csv", prepare.out / info["image_root"])
    for file in manifest.files():
        with Image.open(file) as image:
            assert image.size == (96, 72)
    before = {file: file.stat().st_mtime_ns for file in prepare.out.rglob("*.jpg")}
    prepare()
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.parametrize("form", ["whole", "devkit archives"])
def test_crops(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_cars196(tmp_path / "cars196", train=2, test=2, form=form)
    plain = make_cars196(tmp_path / "plain", train=2, test=2, form=form.removesuffix(" archives"))
    prepare = Preparation(main, capsys, tree, tmp_path / "out")
    prepare("--crop")
    assert prepare.info()["image_root"] == "images"
    files = ("car_ims", "cars_annos.mat") if form == "whole" else ("cars_train", "devkit/cars_train_annos.mat")
    for row in scipy.io.loadmat(tree / files[1])["annotations"].ravel():
        name = str((row["relative_im_path"] if form == "whole" else row["fname"]).item()).split("/")[-1]
        x1, y1, x2, y2 = (int(row[corner].item()) for corner in CORNERS)
        with Image.open(plain / files[0] / name) as image:
            whole = np.asarray(image, float)
        with Image.open(prepare.out / "images" / files[0] / name) as image:
            crop = np.asarray(image, float)
        assert crop.shape == (HEIGHT, WIDTH, 3)
        # MATLAB's image(y1:y2, x1:x2, :); compressed once more.
        assert np.abs(crop - whole[y1 - 1 : y2, x1 - 1 : x2]).mean() < 4
    assert "choose another --out" in prepare.refused()  # the whole images are another data set


def test_the_class_number_decides_and_the_benchmarks_own_halves_do_not(prepare: Preparation) -> None:
    """Class 98 is the last one of training, 99 the first of test."""
    for name in ("devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"):
        change(prepare.root / name, **{"class": lambda number: 98 if number == 2 else number})
    prepare()
    assert prepare.identities() == {"train.csv": names(1, 98), "test.csv": names(99, 100, 101)}


def test_without_labels_the_test_images_are_left_out(prepare: Preparation, tmp_path: Path) -> None:
    (prepare.root / "cars_test_annos_withlabels.mat").unlink()
    said, info = prepare(), prepare.info()
    assert "note: the 5 images of cars_test are left out: their classes are not given" in said
    assert "train images: 4 here, 4052 published" in said  # what the official training images make
    assert info["counts"]["unlabelled_images_left_out"] == 5
    assert "official training images only" in info["origin"]
    (prepare.root / "devkit" / "cars_test_annos.mat").unlink()
    assert "note: the images of cars_test are left out" in prepare("--out", tmp_path / "other")


def test_without_names_identities_are_numbers(prepare: Preparation) -> None:
    (prepare.root / "devkit" / "cars_meta.mat").unlink()
    assert "note: there is no cars_meta.mat: identities are the numbers" in prepare()
    assert prepare.identities()["test.csv"] == {"099", "100", "101"}


def test_of_both_forms_the_one_whose_images_are_there(prepare: Preparation, tmp_path: Path) -> None:
    whole = make_cars196(tmp_path / "whole", form="whole")
    (whole / "cars_annos.mat").rename(prepare.root / "cars_annos.mat")
    prepare()
    assert "devkit/cars_train_annos.mat" in prepare.info()["counts"]["annotations"]
    (whole / "car_ims").rename(prepare.root / "car_ims")
    prepare.out = tmp_path / "other"
    prepare("--out", prepare.out)
    assert prepare.info()["counts"]["annotations"] == ["cars_annos.mat", "devkit/cars_meta.mat"]


@pytest.mark.slow
def test_the_real_training_images(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = shared_data / "cars196_small"
    if not root.is_dir():
        pytest.skip(f"no Cars196 at {root}")
    prepare = Preparation(main, capsys, root, tmp_path / "out")
    said, tables = prepare(), prepare.tables()
    assert "train.csv: 4052 images of 98 identities\ntest.csv: 4092 images of 98 identities\n" in said
    assert "differs" not in said
    assert "the 8041 images of cars_test are left out" in said
    assert tables["train.csv"][0][0] == "AM General Hummer SUV 2000"
    assert tables["test.csv"][-1][0] == "smart fortwo Convertible 2012"
    assert len(list((prepare.out / "images" / "cars_train").iterdir())) == 8144
    # These images were resized.
    assert "boxes do not lie in their images" in prepare.refused("--out", tmp_path / "crop", "--crop")
