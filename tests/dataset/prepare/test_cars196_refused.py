"""What the preparation of Cars196 refuses: wrong annotations and boxes, missing files, hostile or damaged archives."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers.cars196_tree import change, make_cars196
from helpers.preparing import Preparation

from dataset.prepare.cars196 import main


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """Two images of each of four classes: enough to be wrong."""
    tree = make_cars196(tmp_path / "a" / "cars196", train=2, test=2, images=2, labelled=False)
    return Preparation(main, capsys, tree, tmp_path / "a" / "out")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"class": 0}, "the class of row 1 (00001.jpg) is 0; classes are 1 to 196"),
        ({"bbox_x1": "wide"}, "it must hold whole numbers"),
        ({"class": 197}, "the class of row 1 (00001.jpg) is 197"),
        ({"class": None}, "annotations has no field class (bbox_x1, "),
        ({"bbox_y2": None}, "annotations has no field bbox_y2"),
        ({"fname": "00002.jpg"}, "00002.jpg stands twice in it, the second time in row 2"),
        ({"fname": "../00001.jpg"}, "is '../00001.jpg', not like 00001.jpg"),
        ({"fname": "/etc/00001.jpg"}, "not like 00001.jpg"),
        ({"fname": "00001.jpg\\..\\x.jpg"}, "not like 00001.jpg"),
        ({"class": lambda _: 3}, "cars_train_annos.mat, devkit/cars_meta.mat: no image of classes above 98"),
        ({"class": lambda _: 103}, "no image of classes 1 to 98"),
    ],
)
def test_annotations_that_are_wrong(prepare: Preparation, columns: dict, message: str) -> None:
    change(prepare.root / "devkit" / "cars_train_annos.mat", **columns)
    assert message in prepare.refused()
    assert not prepare.out.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cars_train_annos", {"labels": np.arange(3)}, "no variable annotations in it (it holds labels)"),
        ("cars_train_annos", {"annotations": np.arange(3)}, "annotations has no structures in it"),
        ("cars_train_annos", {"annotations": np.empty((1, 0), [("fname", object)])}, "annotations has no structures"),
        ("cars_meta", {"class_names": np.array([["1", "2"]], object)}, "class_names has 2 names, 2 of them different"),
        ("cars_meta", {"class_names": np.array([["1"] * 196], object)}, "has 196 names, 1 of them different"),
        ("cars_meta", None, "not a readable MATLAB file"),
    ],
)
def test_other_files_of_matlab(prepare: Preparation, name: str, content: dict | None, message: str) -> None:
    file = prepare.root / "devkit" / f"{name}.mat"
    if content:
        scipy.io.savemat(file, content)
    else:
        file.write_bytes(file.read_bytes()[:200])
    assert message in prepare.refused()


def test_what_is_missing_is_named(prepare: Preparation) -> None:
    error = prepare.refused("--root", prepare.root / "cars_train")
    assert "neither cars_annos.mat nor cars_train_annos.mat in" in error
    assert "devkit" in error
    (prepare.root / "cars_train" / "00003.jpg").unlink()
    assert "1 of 8 images are broken" in (error := prepare.refused())
    assert "cars_train/00003.jpg: no such file" in error
    prepare("--skip_broken")
    assert prepare.info()["counts"]["broken_images_left_out"] == 1
    shutil.rmtree(prepare.root / "cars_train")
    forms = "(cars_train.tgz, cars_train.tar.gz, cars_train.tar)"
    assert f"no folder cars_train in it, and no archive of it {forms}" in prepare.refused()
    assert "--copy: not allowed with argument --crop" in prepare.refused("--crop", "--copy")


@pytest.mark.parametrize("form", ["devkit", "devkit archives"])
def test_boxes_of_other_images_are_refused(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The boxes are of the original images: of resized ones they would show something else."""
    prepare = Preparation(main, capsys, make_cars196(tmp_path / "cars196", form=form), tmp_path / "out")
    annotations = prepare.root / "devkit" / "cars_train_annos.mat"
    change(annotations, bbox_x2=97, bbox_y2=74)  # beyond by 1 and 2: cut off
    prepare("--out", tmp_path / "slip", "--crop")
    change(annotations, bbox_x2=300)
    error = prepare.refused("--crop")
    assert "1 of 18 boxes do not lie in their images, the first: cars_train/00001.jpg, 96x72, box " in error
    assert "were the images resized?" in error
    assert not prepare.out.exists()
    prepare("--out", tmp_path / "whole")


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    """A member of an archive, whatever it is called."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


def test_an_archive_writes_nothing_but_the_images_that_are_listed(prepare: Preparation, tmp_path: Path) -> None:
    contents = {file.name: file.read_bytes() for file in sorted((prepare.root / "cars_train").iterdir())}
    shutil.rmtree(prepare.root / "cars_train")
    archive = prepare.root / "cars_train.tar"
    with tarfile.open(archive, "w") as tar:
        add(tar, "./cars_train", type=tarfile.DIRTYPE)
        for name, data in contents.items():
            add(tar, f"./cars_train/{name}", data)
        for evil in ("../evil.jpg", f"{tmp_path}/evil.jpg", "cars_train/../../evil.jpg"):
            add(tar, evil, b"x")
        add(tar, "cars_train/00009.jpg", b"not listed")
        add(tar, "cars_train/link", type=tarfile.SYMTYPE, linkname="/etc")
    prepare()
    assert not list(tmp_path.rglob("evil.jpg"))
    assert {f.name: f.read_bytes() for f in (prepare.out / "images").rglob("*") if f.is_file()} == contents

    first, second, *others = sorted(contents)
    with tarfile.open(archive, "w") as tar:  # a link in place of an image, and half an image
        add(tar, f"cars_train/{first}", type=tarfile.SYMTYPE, linkname="/etc/hostname")
        add(tar, f"cars_train/{second}", contents[second][:-200])
        for name in others:
            add(tar, f"cars_train/{name}", contents[name])
    error = prepare.refused("--out", tmp_path / "b")
    assert f"2 of {len(contents)} images are broken" in error
    assert f"cars_train/{first}: not in cars_train.tar" in error
    assert f"cars_train/{second}: truncated" in error
    error = prepare.refused("--out", tmp_path / "b", "--check", "off")  # found while extracting
    assert f"1 of {len(contents)} images are not in it, the first: cars_train/{first}" in error
    assert not (tmp_path / "b" / "dataset.json").exists()
    prepare("--out", tmp_path / "c", "--skip_broken")
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
