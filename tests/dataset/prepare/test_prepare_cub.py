"""Preparing CUB-200-2011, whole and cropped."""

from pathlib import Path

import numpy as np
import pytest
from helpers.reid_trees import HEIGHT, WIDTH, make_cub, read_tables
from PIL import Image

from dataset.prepare.cub import main
from dataset.sources.box_crops import pixel_box
from runtime.json_files import read_json


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_cub(tmp_path / "CUB_200_2011", train=2, test=3, images=2)


def test_prepared_data_set(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    tables = read_tables(tmp_path / "out")
    assert {row[0] for row in tables["train.csv"]} == {"001.Painted_Bird_1", "002.Painted_Bird_2"}
    assert {row[0] for row in tables["test.csv"]} == {f"{n}.Painted_Bird_{n}" for n in (101, 102, 103)}
    info = read_json(tmp_path / "out" / "dataset.json")
    assert info["image_root"] == (tree / "images").as_posix()
    assert (info["counts"]["train_images"], info["counts"]["test_images"]) == (4, 6)
    assert "train images: 4 here, 5864 published" in capsys.readouterr().out


def test_the_class_number_decides_not_the_order(tree: Path, tmp_path: Path) -> None:
    """Class 100 is the last one of training, 101 the first of test."""
    for name in ("images", "image_class_labels", "classes"):
        file = tree / f"{name}.txt"
        lines = [line.replace("002.", "100.") for line in file.read_text().splitlines()]
        lines = [
            line[:-1] + "100"
            if name == "image_class_labels" and line.endswith(" 2")
            else "100 " + line[2:]
            if name == "classes" and line.startswith("2 ")
            else line
            for line in lines
        ]
        file.write_text("\n".join(reversed(lines)) + "\n")
    (tree / "images" / "002.Painted_Bird_2").rename(tree / "images" / "100.Painted_Bird_2")
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    tables = read_tables(tmp_path / "out")
    assert {row[0] for row in tables["train.csv"]} == {"001.Painted_Bird_1", "100.Painted_Bird_2"}


def test_crops(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("--root", tree, "--out", out, "--crop") == 0
    tables = read_tables(out)
    assert read_json(out / "dataset.json")["image_root"] == "images"
    numbers = dict(line.split()[::-1] for line in (tree / "images.txt").read_text().splitlines())
    boxes = {line.split()[0]: line.split()[1:] for line in (tree / "bounding_boxes.txt").read_text().splitlines()}
    grey = 0
    for _, path in tables["train.csv"] + tables["test.csv"]:
        with Image.open(tree / "images" / path) as whole, Image.open(out / "images" / path) as crop:
            assert crop.size == (WIDTH, HEIGHT)
            assert crop.mode == whole.mode
            grey += crop.mode == "L"
            x, y = (int(float(v)) for v in boxes[numbers[path]][:2])
            cut = np.asarray(whole, float)[y : y + HEIGHT, x : x + WIDTH]
            assert np.abs(np.asarray(crop, float) - cut).mean() < 4  # compressed once more
    assert grey == 1
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert run("--root", tree, "--out", out, "--crop") == 0
    assert {file: file.read_bytes() for file in before} == before
    assert run("--root", tree, "--out", out) == 2  # the whole images are another data set


def test_broken_images_are_not_cropped(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = next((tree / "images" / "001.Painted_Bird_1").iterdir())
    cut.write_bytes(b"")
    assert run("--root", tree, "--out", tmp_path / "out", "--crop") == 2
    assert "empty file" in capsys.readouterr().err
    assert run("--root", tree, "--out", tmp_path / "out", "--crop", "--skip_broken") == 0
    assert len(read_tables(tmp_path / "out")["train.csv"]) == 3
    assert read_json(tmp_path / "out" / "dataset.json")["counts"]["broken_images_left_out"] == 1


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
        ("bounding_boxes", ".0\n", "\n", None),
        ("bounding_boxes", "24.0 48.0", "wide high", "no numbers"),
        ("bounding_boxes", "24.0 48.0", "0.0 48.0", "has no pixel"),
        ("bounding_boxes", "24.0 48.0", "inf nan", "no numbers"),
    ],
)
def test_lists_that_do_not_fit(
    tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    old: str,
    new: str,
    message: str | None,
) -> None:
    text = (tree / f"{file}.txt").read_text()
    assert old in text
    (tree / f"{file}.txt").write_text(text.replace(old, new))
    code = run("--root", tree, "--out", tmp_path / "out", "--crop")
    error = capsys.readouterr().err
    assert code == (2 if message else 0)
    if message:
        assert message in error
        assert error.count("\n") == 1
    assert (tmp_path / "out" / "dataset.json").exists() == (message is None)
