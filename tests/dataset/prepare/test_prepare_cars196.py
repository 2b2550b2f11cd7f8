"""Preparing Cars196: both forms of its annotations, folders and archives, whole and cropped; errors."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers.preparing import Preparation
from helpers.reid_trees import CARS196_NAMES, change_annotations, make_cars196, person
from PIL import Image

from dataset.prepare.cars196 import main


def names(*numbers: int) -> set[str]:
    return {CARS196_NAMES[number - 1] for number in numbers}


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    tree = make_cars196(tmp_path / "cars196", train=2, test=3, images=3)
    return Preparation(main, capsys, tree, tmp_path / "out")


@pytest.fixture
def small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """Two images of each of four classes in cars_train, for tests of errors."""
    tree = make_cars196(tmp_path / "a" / "cars196", train=2, test=2, images=2, labelled=False)
    return Preparation(main, capsys, tree, tmp_path / "a" / "out")


@pytest.mark.parametrize("form", ["whole", "devkit", "whole archives", "devkit archives"])
def test_prepared_data_set(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_cars196(tmp_path / "cars196", train=2, test=3, form=form)
    prepare = Preparation(main, capsys, tree, tmp_path / "out")
    said, tables, info = prepare(), prepare.tables(images=True), prepare.info()
    assert prepare.identities() == {"train.csv": names(1, 2), "test.csv": names(99, 100, 101)}
    assert prepare.sizes() == {"train.csv": 6, "test.csv": 9}  # the official halves do not matter
    assert {row[1].split("/")[0] for row in tables["train.csv"]} == (
        {"car_ims"} if form.startswith("whole") else {"cars_train", "cars_test"}
    )
    assert info["image_root"] == ("images" if "archives" in form else tree.as_posix())
    assert info["counts"]["published_but_different"]["train_images"] == 8054
    assert "train images: 6 here, 8054 published" in said
    assert "test images: 9 here, 8131 published" in said
    assert "note:" not in said
    before = {file: file.stat().st_mtime_ns for file in prepare.out.rglob("*.jpg")}
    prepare()
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.parametrize("form", ["whole", "devkit archives"])
def test_crops(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The crops show the boxes without the noise around them, compressed once more."""
    tree = make_cars196(tmp_path / "cars196", train=2, test=2, form=form)
    prepare = Preparation(main, capsys, tree, tmp_path / "out")
    prepare("--crop")
    assert prepare.info()["image_root"] == "images"
    for identity, path in [row for rows in prepare.tables().values() for row in rows]:
        shown = Image.fromarray(person(CARS196_NAMES.index(identity) + 1, 2, (int(Path(path).stem) - 1) // 4))
        with Image.open(prepare.out / "images" / path) as crop:
            assert np.abs(np.asarray(crop.convert("L"), float) - np.asarray(shown.convert("L"))).mean() < 4
    assert "choose another --out" in prepare.refused()  # the whole images are another data set


def test_the_class_number_decides_and_the_benchmarks_own_halves_do_not(prepare: Preparation) -> None:
    """Class 98 is the last one of training, 99 the first of test."""
    for name in ("devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"):
        change_annotations(prepare.root / name, **{"class": lambda number: 98 if number == 2 else number})
    prepare()
    assert prepare.identities() == {"train.csv": names(1, 98), "test.csv": names(99, 100, 101)}


def test_labels_and_names_that_are_not_given(prepare: Preparation, tmp_path: Path) -> None:
    (prepare.root / "cars_test_annos_withlabels.mat").unlink()
    said, info = prepare(), prepare.info()
    assert "note: the 5 images of cars_test are excluded, as their classes are missing" in said
    assert "train images: 4 here, 4052 published" in said  # what the official training images make
    assert info["counts"]["unlabelled_images_left_out"] == 5
    assert "official training images only" in info["origin"]
    (prepare.root / "devkit" / "cars_test_annos.mat").unlink()
    (prepare.root / "devkit" / "cars_meta.mat").unlink()
    prepare.out = tmp_path / "other"
    said = prepare("--out", prepare.out)
    assert "note: the images of cars_test are excluded" in said
    assert "note: there is no cars_meta.mat; identities are numbers" in said
    assert prepare.identities()["test.csv"] == {"099", "100", "101"}


def test_the_form_with_images_is_used(prepare: Preparation, tmp_path: Path) -> None:
    whole = make_cars196(tmp_path / "whole", form="whole")
    (whole / "cars_annos.mat").rename(prepare.root / "cars_annos.mat")
    prepare()
    assert "devkit/cars_train_annos.mat" in prepare.info()["counts"]["annotations"]
    (whole / "car_ims").rename(prepare.root / "car_ims")
    prepare.out = tmp_path / "other"
    prepare("--out", prepare.out)
    assert prepare.info()["counts"]["annotations"] == ["cars_annos.mat", "devkit/cars_meta.mat"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"class": 0}, "the class of row 1 (00001.jpg) is 0; it must be 1 to 196"),
        ({"bbox_x1": "wide"}, "the values must be whole numbers"),
        ({"class": 197}, "the class of row 1 (00001.jpg) is 197"),
        ({"class": None}, "annotations has no field class, only bbox_x1, "),
        ({"bbox_y2": None}, "annotations has no field bbox_y2"),
        ({"fname": "00002.jpg"}, "row 2: 00002.jpg is already in an earlier row"),
        ({"fname": "../00001.jpg"}, "is '../00001.jpg', but must be like 00001.jpg"),
        ({"fname": "/etc/00001.jpg"}, "but must be like 00001.jpg"),
        ({"fname": "00001.jpg\\..\\x.jpg"}, "but must be like 00001.jpg"),
        ({"class": lambda _: 3}, "cars_train_annos.mat, devkit/cars_meta.mat: no image of classes above 98"),
        ({"class": lambda _: 103}, "no image of classes 1 to 98"),
    ],
)
def test_annotations_that_are_wrong(small: Preparation, columns: dict, message: str) -> None:
    change_annotations(small.root / "devkit" / "cars_train_annos.mat", **columns)
    assert message in small.refused()
    assert not small.out.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cars_train_annos", {"labels": np.arange(3)}, "no variable annotations in it, only labels"),
        ("cars_train_annos", {"annotations": np.arange(3)}, "annotations is empty"),
        ("cars_train_annos", {"annotations": np.empty((1, 0), [("fname", object)])}, "annotations is empty"),
        ("cars_meta", {"class_names": np.array([["1", "2"]], object)}, "class_names has 2 names, 2 of them different"),
        ("cars_meta", {"class_names": np.array([["1"] * 196], object)}, "has 196 names, 1 of them different"),
        ("cars_meta", None, "not a readable MATLAB file"),
    ],
)
def test_other_files_of_matlab(small: Preparation, name: str, content: dict | None, message: str) -> None:
    file = small.root / "devkit" / f"{name}.mat"
    if content:
        scipy.io.savemat(file, content)
    else:
        file.write_bytes(file.read_bytes()[:200])
    assert message in small.refused()


def test_what_is_missing_is_named(small: Preparation) -> None:
    error = small.refused("--root", small.root / "cars_train")
    assert "neither cars_annos.mat nor cars_train_annos.mat in" in error
    assert "devkit" in error
    (small.root / "cars_train" / "00003.jpg").unlink()
    assert "1 of 8 images are broken" in (error := small.refused())
    assert "cars_train/00003.jpg: no such file" in error
    small("--skip_broken")
    assert small.info()["counts"]["broken_images_left_out"] == 1
    shutil.rmtree(small.root / "cars_train")
    forms = "(cars_train.tgz, cars_train.tar.gz, cars_train.tar)"
    assert f"there is neither a folder cars_train nor an archive of it {forms}" in small.refused()
    assert "--copy: not allowed with argument --crop" in small.refused("--crop", "--copy")


@pytest.mark.parametrize("form", ["devkit", "devkit archives"])
def test_boxes_of_other_images_are_refused(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The boxes belong to the original images; in resized ones they would show something else."""
    prepare = Preparation(main, capsys, make_cars196(tmp_path / "cars196", form=form), tmp_path / "out")
    annotations = prepare.root / "devkit" / "cars_train_annos.mat"
    change_annotations(annotations, bbox_x2=97, bbox_y2=74)  # beyond by 1 and 2: cut off
    prepare("--out", tmp_path / "slip", "--crop")
    change_annotations(annotations, bbox_x2=300)
    error = prepare.refused("--crop")
    assert "1 of 18 boxes are not inside their images, the first: cars_train/00001.jpg, 96x72, box " in error
    assert "perhaps the images were resized" in error
    assert not prepare.out.exists()
    prepare("--out", tmp_path / "whole")


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", link: str = "") -> None:
    """Adds a file or a link of any name to an archive."""
    member = tarfile.TarInfo(name)
    member.size, member.linkname = len(data), link
    member.type = tarfile.SYMTYPE if link else tarfile.REGTYPE
    tar.addfile(member, io.BytesIO(data))


def test_an_archive_writes_nothing_but_the_images_that_are_listed(small: Preparation, tmp_path: Path) -> None:
    contents = {file.name: file.read_bytes() for file in sorted((small.root / "cars_train").iterdir())}
    archive = small.root / "cars_train.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(small.root / "cars_train", "./cars_train")
        for evil in ("../evil.jpg", f"{tmp_path}/evil.jpg", "cars_train/../../evil.jpg"):
            add(tar, evil, b"x")
        add(tar, "cars_train/00009.jpg", b"not listed")
        add(tar, "cars_train/link", link="/etc")
    shutil.rmtree(small.root / "cars_train")
    small()
    assert not list(tmp_path.rglob("evil.jpg"))
    assert {f.name: f.read_bytes() for f in (small.out / "images").rglob("*") if f.is_file()} == contents

    first, second, *others = sorted(contents)
    with tarfile.open(archive, "w") as tar:  # a link in place of an image, and half an image
        add(tar, f"cars_train/{first}", link="/etc/hostname")
        add(tar, f"cars_train/{second}", contents[second][:-200])
        for name in others:
            add(tar, f"cars_train/{name}", contents[name])
    error = small.refused("--out", tmp_path / "b")
    assert f"2 of {len(contents)} images are broken" in error
    assert f"cars_train/{first}: not in cars_train.tar" in error
    assert f"cars_train/{second}: truncated" in error
    error = small.refused("--out", tmp_path / "b", "--check", "off")  # found while extracting
    assert f"1 of {len(contents)} images are not in it, the first: cars_train/{first}" in error
    assert not (tmp_path / "b" / "dataset.json").exists()
    small("--out", tmp_path / "c", "--skip_broken")
    assert len(list((tmp_path / "c" / "images" / "cars_train").iterdir())) == len(others)


def test_a_damaged_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_cars196(tmp_path / "cars196", train=1, test=1, images=1, form="whole archives")
    prepare, archive = Preparation(main, capsys, tree, tmp_path / "out"), tree / "car_ims.tgz"
    data = archive.read_bytes()
    other_checksum = bytes(byte ^ 255 for byte in data[-8:-4])
    for damaged in (data[: len(data) // 2], data[:-8] + other_checksum + data[-4:], data[:5], b"no archive", b""):
        archive.write_bytes(damaged)
        assert "car_ims.tgz: not a readable tar archive" in prepare.refused()
        assert not prepare.out.exists()


@pytest.mark.slow
def test_the_real_training_images(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = shared_data / "cars196_small"
    if not root.is_dir():
        pytest.skip(f"no Cars196 at {root}")
    prepare = Preparation(main, capsys, root, tmp_path / "out")
    said, tables = prepare(), prepare.tables()
    assert "train.csv: 4,052 images of 98 identities\ntest.csv: 4,092 images of 98 identities\n" in said
    assert "differs" not in said
    assert "the 8041 images of cars_test are excluded" in said
    assert tables["train.csv"][0][0] == "AM General Hummer SUV 2000"
    assert tables["test.csv"][-1][0] == "smart fortwo Convertible 2012"
    assert len(list((prepare.out / "images" / "cars_train").iterdir())) == 8144
    # These images were resized.
    assert "boxes are not inside their images" in prepare.refused("--out", tmp_path / "crop", "--crop")
