"""Preparing CUB-200-2011, whole and cropped."""

from pathlib import Path

import numpy as np
import pytest
from helpers.preparing import Preparation
from helpers.reid_trees import HEIGHT, WIDTH, make_cub
from PIL import Image

from dataset.prepare.cub import main
from dataset.sources.box_crops import pixel_box


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    tree = make_cub(tmp_path / "CUB_200_2011", train=2, test=3, images=2)
    return Preparation(main, capsys, tree, tmp_path / "out")


def test_prepared_data_set(prepare: Preparation) -> None:
    assert "train images: 4 here, 5864 published" in prepare()
    info = prepare.info()
    assert prepare.identities() == {
        "train.csv": {"001.Painted_Bird_1", "002.Painted_Bird_2"},
        "test.csv": {f"{n}.Painted_Bird_{n}" for n in (101, 102, 103)},
    }
    assert info["image_root"] == (prepare.root / "images").as_posix()
    assert (info["counts"]["train_images"], info["counts"]["test_images"]) == (4, 6)


def test_the_class_number_decides_not_the_order(prepare: Preparation) -> None:
    """Class 100 is the last one of training, 101 the first of test."""
    for name, old, new in (
        ("images", "002.", "100."),
        ("image_class_labels", " 2\n", " 100\n"),
        ("classes", "2 002.", "100 100."),
    ):
        file = prepare.root / f"{name}.txt"
        lines = file.read_text().replace(old, new).splitlines()
        file.write_text("\n".join(reversed(lines)) + "\n")
    (prepare.root / "images" / "002.Painted_Bird_2").rename(prepare.root / "images" / "100.Painted_Bird_2")
    prepare()
    assert prepare.identities()["train.csv"] == {"001.Painted_Bird_1", "100.Painted_Bird_2"}


def test_crops(prepare: Preparation) -> None:
    prepare("--crop")
    tables, tree = prepare.tables(), prepare.root
    assert prepare.info()["image_root"] == "images"
    numbers = dict(line.split()[::-1] for line in (tree / "images.txt").read_text().splitlines())
    boxes = {line.split()[0]: line.split()[1:] for line in (tree / "bounding_boxes.txt").read_text().splitlines()}
    grey = 0
    for _, path in tables["train.csv"] + tables["test.csv"]:
        with Image.open(tree / "images" / path) as whole, Image.open(prepare.out / "images" / path) as crop:
            assert crop.size == (WIDTH, HEIGHT)
            assert crop.mode == whole.mode
            grey += crop.mode == "L"
            x, y = (int(float(v)) for v in boxes[numbers[path]][:2])
            cut = np.asarray(whole, float)[y : y + HEIGHT, x : x + WIDTH]
            assert np.abs(np.asarray(crop, float) - cut).mean() < 4  # compressed once more
    assert grey == 1
    before = prepare.files()
    prepare("--crop")
    assert prepare.files() == before
    assert "choose another --out" in prepare.refused()  # the whole images are another data set


def test_broken_images_are_not_cropped(prepare: Preparation) -> None:
    next((prepare.root / "images" / "001.Painted_Bird_1").iterdir()).write_bytes(b"")
    assert "empty file" in prepare.refused("--crop")
    prepare("--crop", "--skip_broken")
    assert len(prepare.tables()["train.csv"]) == 3
    assert prepare.info()["counts"]["broken_images_left_out"] == 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 10, 20), (0, 0, 10, 20)),
        ((2.4, 2.6, 5, 5), (2, 3, 7, 8)),
        ((-3, -1, 5, 5), (0, 0, 2, 4)),
        ((6, 15, 50, 50), (6, 15, 10, 20)),
        ((0, 0, 1, 1), (0, 0, 1, 1)),
    ],
)
def test_pixel_box(box: tuple[float, ...], expected: tuple[int, ...]) -> None:
    assert pixel_box(*box, (10, 20)) == expected


@pytest.mark.parametrize("box", [(10, 0, 5, 5), (0, 0, 0, 5), (0, -9, 5, 9), (0, 0, 5, -2)])
def test_boxes_without_a_pixel(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="has no pixel"):
        pixel_box(*box, (10, 20))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("image_class_labels", "3 2\n", "", "no class for image 3"),
        ("image_class_labels", "3 2\n", "3 99\n", "no class 99, which image 3"),
        ("image_class_labels", "3 2\n", "3 1\n", "image 3 is 002.Painted_Bird_2/"),
        ("image_class_labels", "3 2\n", "2 1\n", "image_id 2 stands twice"),
        ("classes", "2 002.Painted_Bird_2\n", "", "no class 2"),
        ("bounding_boxes", "3 ", "30 ", "no box for image 3"),
        ("bounding_boxes", "24.0 48.0", "wide high", "no numbers"),
        ("bounding_boxes", "24.0 48.0", "0.0 48.0", "has no pixel"),
        ("bounding_boxes", "24.0 48.0", "inf nan", "no numbers"),
    ],
)
def test_lists_that_do_not_fit(prepare: Preparation, file: str, old: str, new: str, message: str) -> None:
    text = (prepare.root / f"{file}.txt").read_text()
    assert old in text
    (prepare.root / f"{file}.txt").write_text(text.replace(old, new))
    assert message in prepare.refused("--crop")
    assert not (prepare.out / "dataset.json").exists()


def test_boxes_may_be_whole_numbers(prepare: Preparation) -> None:
    file = prepare.root / "bounding_boxes.txt"
    file.write_text(file.read_text().replace(".0\n", "\n"))
    prepare("--crop")
