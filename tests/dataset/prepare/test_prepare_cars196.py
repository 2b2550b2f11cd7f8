"""Preparing Cars196: both forms of its annotations, folders and archives, whole and cropped."""

import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers.cars196_tree import CARS196_NAMES, change, error_of, make_cars196, run, save_annotations
from helpers.reid_trees import HEIGHT, WIDTH, read_tables
from PIL import Image

from dataset.formats.manifest import read_manifest
from runtime.json_files import read_json

CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def names(*numbers: int) -> set[str]:
    return {CARS196_NAMES[number - 1] for number in numbers}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_cars196(tmp_path / "cars196", train=2, test=3, images=3)


@pytest.mark.parametrize("form", ["whole", "devkit", "whole archives", "devkit archives"])
def test_prepared_data_set(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, out = make_cars196(tmp_path / "cars196", train=2, test=3, form=form), tmp_path / "out"
    assert run("--root", tree, "--out", out) == 0
    tables = read_tables(out)
    assert {row[0] for row in tables["train.csv"]} == names(1, 2)
    assert {row[0] for row in tables["test.csv"]} == names(99, 100, 101)
    assert [len(tables[name]) for name in ("train.csv", "test.csv")] == [6, 9]  # the official halves do not matter
    assert {row[1].split("/")[0] for row in tables["train.csv"]} == (
        {"car_ims"} if form.startswith("whole") else {"cars_train", "cars_test"}
    )
    info = read_json(out / "dataset.json")
    assert info["image_root"] == ("images" if "archives" in form else tree.as_posix())
    assert info["counts"]["published_but_different"]["train_images"] == 8054
    said = capsys.readouterr().out
    assert "train images: 6 here, 8054 published" in said
    assert "test images: 9 here, 8131 published" in said
    assert "note:" not in said
    manifest = read_manifest(out / "train.csv", out / info["image_root"])
    for identity, file in zip(manifest.identities, manifest.files(), strict=True):
        with Image.open(file) as image:
            assert image.size == (96, 72)
        assert identity in names(1, 2)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.jpg")}
    assert run("--root", tree, "--out", out) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.parametrize("form", ["whole", "devkit archives"])
def test_crops(form: str, tmp_path: Path) -> None:
    tree = make_cars196(tmp_path / "cars196", train=2, test=2, form=form)
    plain = make_cars196(tmp_path / "plain", train=2, test=2, form=form.removesuffix(" archives"))
    out = tmp_path / "out"
    assert run("--root", tree, "--out", out, "--crop") == 0
    assert read_json(out / "dataset.json")["image_root"] == "images"
    files = ("car_ims", "cars_annos.mat") if form == "whole" else ("cars_train", "devkit/cars_train_annos.mat")
    found = scipy.io.loadmat(tree / files[1])["annotations"].ravel()
    for row in found:
        name = str((row["relative_im_path"] if form == "whole" else row["fname"]).item()).split("/")[-1]
        x1, y1, x2, y2 = (int(row[corner].item()) for corner in CORNERS)
        with Image.open(plain / files[0] / name) as image:
            whole = np.asarray(image, float)
        with Image.open(out / "images" / files[0] / name) as image:
            crop = np.asarray(image, float)
        assert crop.shape == (HEIGHT, WIDTH, 3)
        # MATLAB's image(y1:y2, x1:x2, :); compressed once more.
        assert np.abs(crop - whole[y1 - 1 : y2, x1 - 1 : x2]).mean() < 4
    assert run("--root", tree, "--out", out) == 2  # the whole images are another data set


def test_the_class_number_decides_and_the_benchmarks_own_halves_do_not(tree: Path, tmp_path: Path) -> None:
    """Class 98 is the last one of training, 99 the first of test."""
    for file in (tree / "devkit" / "cars_train_annos.mat", tree / "cars_test_annos_withlabels.mat"):
        change(file, **{"class": lambda number: 98 if number == 2 else number})
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    tables = read_tables(tmp_path / "out")
    assert {row[0] for row in tables["train.csv"]} == names(1, 98)
    assert {row[0] for row in tables["test.csv"]} == names(99, 100, 101)


def test_without_labels_the_test_images_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_cars196(tmp_path / "cars196", train=2, test=2, labelled=False)
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    said, info = capsys.readouterr().out, read_json(tmp_path / "out" / "dataset.json")
    assert "note: the 4 images of cars_test are left out: their classes are not given" in said
    assert "train images: 4 here, 4052 published" in said  # what the official training images make
    assert info["counts"]["unlabelled_images_left_out"] == 4
    assert "official training images only" in info["origin"]
    (tree / "devkit" / "cars_test_annos.mat").unlink()
    assert run("--root", tree, "--out", tmp_path / "other") == 0
    assert "note: the images of cars_test are left out" in capsys.readouterr().out


def test_without_names_identities_are_numbers(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "devkit" / "cars_meta.mat").unlink()
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    assert {row[0] for row in read_tables(tmp_path / "out")["test.csv"]} == {"099", "100", "101"}
    assert "note: there is no cars_meta.mat: identities are the numbers" in capsys.readouterr().out


def test_of_both_forms_the_one_whose_images_are_there(tree: Path, tmp_path: Path) -> None:
    whole = make_cars196(tmp_path / "whole", form="whole")
    (whole / "cars_annos.mat").rename(tree / "cars_annos.mat")
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    assert "devkit/cars_train_annos.mat" in read_json(tmp_path / "out" / "dataset.json")["counts"]["annotations"]
    (whole / "car_ims").rename(tree / "car_ims")
    assert run("--root", tree, "--out", tmp_path / "other") == 0
    found = read_json(tmp_path / "other" / "dataset.json")["counts"]["annotations"]
    assert found == ["cars_annos.mat", "devkit/cars_meta.mat"]


def test_lists_of_the_real_size_take_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """8 054 and 8 131 images are what the split of all 16 185 makes, and then nothing differs."""
    rows = []
    for number, (first, images) in enumerate([(1, 8054), (99, 8131)]):
        for i in range(images):
            name = f"car_ims/{number * 8054 + i + 1:06d}.jpg"
            box = dict(zip(CORNERS, (30, 52, 246, 147), strict=True))
            rows.append(box | {"relative_im_path": name, "class": first + i % 98, "test": i % 2})
    fields = ("relative_im_path", *CORNERS, "class", "test")
    meta = {"class_names": np.array([CARS196_NAMES], object)}
    save_annotations(tmp_path / "cars_annos.mat", {"cars_annos": rows}, {"cars_annos": fields}, meta)
    (tmp_path / "car_ims").mkdir()
    start = time.monotonic()
    assert run("--root", tmp_path, "--out", tmp_path / "out", "--check", "off") == 0
    assert time.monotonic() - start < 20
    said = capsys.readouterr().out
    assert "train.csv: 8054 images of 98 identities\ntest.csv: 8131 images of 98 identities\n" in said
    assert "differs" not in said


@pytest.mark.slow
def test_the_real_training_images(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = shared_data / "cars196_small"
    if not root.is_dir():
        pytest.skip(f"no Cars196 at {root}")
    assert run("--root", root, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "train.csv: 4052 images of 98 identities\ntest.csv: 4092 images of 98 identities\n" in said
    assert "differs" not in said
    assert "the 8041 images of cars_test are left out" in said
    tables = read_tables(tmp_path / "out")
    assert tables["train.csv"][0][0] == "AM General Hummer SUV 2000"
    assert tables["test.csv"][-1][0] == "smart fortwo Convertible 2012"
    assert len(list((tmp_path / "out" / "images" / "cars_train").iterdir())) == 8144
    assert run("--root", root, "--out", tmp_path / "crop", "--crop") == 2  # these images were resized
    assert "boxes do not lie in their images" in error_of(capsys)
