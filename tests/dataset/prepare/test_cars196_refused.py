"""What the preparation of Cars196 refuses: annotations and boxes that are wrong, files that are missing."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers.cars196_tree import change, error_of, make_cars196, run

from runtime.json_files import read_json


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_cars196(tmp_path / "cars196", train=2, test=3, images=3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"class": 0}, "the class of row 1 (00001.jpg) is 0; classes are 1 to 196"),
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
def test_annotations_that_are_wrong(
    columns: dict, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make_cars196(tmp_path / "cars196", train=1, test=1, images=2, labelled=False)
    change(tree / "devkit" / "cars_train_annos.mat", **columns)
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    assert message in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_other_files_of_matlab(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, meta = tree / "devkit" / "cars_train_annos.mat", tree / "devkit" / "cars_meta.mat"
    cases = [
        (train, {"labels": np.arange(3)}, "no variable annotations in it (it holds labels)"),
        (train, {"annotations": np.arange(3)}, "annotations has no field fname (no structure)"),
        (train, {"annotations": np.empty((1, 0), [("fname", object)])}, "annotations has no field"),
        (meta, {"class_names": np.array([["one", "two"]], object)}, "class_names has 2 names, 2 of them different"),
        (meta, {"class_names": np.array([["one"] * 196], object)}, "class_names has 196 names, 1 of them different"),
    ]
    for file, content, message in cases:
        before = file.read_bytes()
        scipy.io.savemat(file, content)
        assert run("--root", tree, "--out", tmp_path / "out") == 2
        assert message in error_of(capsys)
        file.write_bytes(before[: len(before) // 2])
        assert run("--root", tree, "--out", tmp_path / "out") == 2
        assert "not a readable MATLAB file" in error_of(capsys)
        file.write_bytes(before)


def test_what_is_missing_is_named(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--root", tree / "cars_train", "--out", tmp_path / "out") == 2
    error = error_of(capsys)
    assert "neither cars_annos.mat nor cars_train_annos.mat in" in error
    assert "devkit" in error
    image = tree / "cars_test" / "00011.jpg"
    image.unlink()
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    assert "1 of 15 images are broken" in (error := error_of(capsys))
    assert "cars_test/00011.jpg: no such file" in error
    assert run("--root", tree, "--out", tmp_path / "out", "--skip_broken") == 0
    assert read_json(tmp_path / "out" / "dataset.json")["counts"]["broken_images_left_out"] == 1
    (tree / "cars_test").rename(tree / "elsewhere")
    capsys.readouterr()
    assert run("--root", tree, "--out", tmp_path / "other") == 2
    assert (
        "no folder cars_test in it, and no archive of it (cars_test.tgz, cars_test.tar.gz, cars_test.tar)"
        in error_of(capsys)
    )
    assert run("--root", tree, "--out", tmp_path / "other", "--crop", "--copy") == 2
    assert "--copy: not allowed with argument --crop" in error_of(capsys)


@pytest.mark.parametrize("form", ["devkit", "devkit archives"])
def test_boxes_of_other_images_are_refused(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The boxes are of the original images: of resized ones they would show something else."""
    tree = make_cars196(tmp_path / "cars196", form=form)
    change(tree / "devkit" / "cars_train_annos.mat", bbox_x2=97, bbox_y2=74)  # beyond by 1 and 2: cut off
    assert run("--root", tree, "--out", tmp_path / "slip", "--crop") == 0
    assert run("--root", tree, "--out", tmp_path / "whole") == 0
    capsys.readouterr()
    change(tree / "devkit" / "cars_train_annos.mat", bbox_x2=300)
    assert run("--root", tree, "--out", tmp_path / "out", "--crop") == 2
    error = error_of(capsys)
    assert "1 of 18 boxes do not lie in their images, the first: cars_train/00001.jpg, 96x72, box " in error
    assert "were the images resized?" in error
    assert not (tmp_path / "out").exists()
