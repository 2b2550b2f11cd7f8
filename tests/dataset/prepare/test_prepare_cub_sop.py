"""Preparing CUB-200-2011, whole and cropped, and Stanford Online Products."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.preparing import Preparation
from helpers.reid_trees import make_cub, make_sop, person
from PIL import Image

from dataset.prepare import cub, sop
from dataset.sources.box_crops import pixel_box


@pytest.fixture
def birds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    return Preparation(cub.main, capsys, make_cub(tmp_path / "CUB_200_2011"), tmp_path / "out")


@pytest.fixture
def products(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    tree = make_sop(tmp_path / "Stanford_Online_Products", train=3, test=4, images=2)
    return Preparation(sop.main, capsys, tree, tmp_path / "out")


def test_birds(birds: Preparation) -> None:
    """Class 100 is the last one of training, 101 the first of test, in whatever order the lists are."""
    assert "train images: 4 here, 5864 published" in birds()
    test = {f"{n}.Painted_Bird_{n}" for n in (101, 102, 103)}
    assert birds.identities() == {"train.csv": {"001.Painted_Bird_1", "002.Painted_Bird_2"}, "test.csv": test}
    assert birds.info()["image_root"] == (birds.root / "images").as_posix()
    assert birds.info()["counts"]["train_images"] == 4
    for name, old, new in (
        ("images", "002.", "100."),
        ("image_class_labels", " 2\n", " 100\n"),
        ("classes", "2 002.", "100 100."),
    ):
        file = birds.root / f"{name}.txt"
        lines = file.read_text().replace(old, new).splitlines()
        file.write_text("\n".join(reversed(lines)) + "\n")
    (birds.root / "images" / "002.Painted_Bird_2").rename(birds.root / "images" / "100.Painted_Bird_2")
    birds.out = birds.out.with_name("other")
    birds("--out", birds.out)
    assert birds.identities() == {"train.csv": {"001.Painted_Bird_1", "100.Painted_Bird_2"}, "test.csv": test}


def test_crops(birds: Preparation) -> None:
    """The crops show the boxes without the noise around them, compressed once more."""
    birds("--crop")
    tables, modes = birds.tables(), []
    assert birds.info()["image_root"] == "images"
    for _, path in tables["train.csv"] + tables["test.csv"]:
        number, index = (int(part) for part in Path(path).stem.split("_")[2:4])
        with Image.open(birds.out / "images" / path) as crop:
            modes.append(crop.mode)
            shown = person(number, 2, index)
            shown = shown[:, :, 1] if crop.mode == "L" else np.asarray(Image.fromarray(shown).convert("L"))
            assert np.abs(np.asarray(crop.convert("L"), float) - shown).mean() < 4
    assert sorted(modes) == ["L"] + ["RGB"] * 9
    before = birds.files()
    birds("--crop")
    assert birds.files() == before
    assert "choose another --out" in birds.refused()  # the whole images are another data set
    boxes = birds.root / "bounding_boxes.txt"
    boxes.write_text(boxes.read_text().replace(".0\n", "\n"))  # whole numbers are numbers as well
    birds("--crop")


def test_broken_images_are_not_cropped(birds: Preparation) -> None:
    next((birds.root / "images" / "001.Painted_Bird_1").iterdir()).write_bytes(b"")
    assert "empty file" in birds.refused("--crop")
    birds("--crop", "--skip_broken")
    assert birds.sizes()["train.csv"] == 3
    assert birds.info()["counts"]["broken_images_left_out"] == 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 10, 20), (0, 0, 10, 20)),
        ((2.4, 2.6, 5, 5), (2, 3, 7, 8)),
        ((-3, -1, 5, 5), (0, 0, 2, 4)),
        ((6, 15, 50, 50), (6, 15, 10, 20)),
        ((0, 0, 1, 1), (0, 0, 1, 1)),
        ((10, 0, 5, 5), None),
        ((0, 0, 0, 5), None),
        ((0, -9, 5, 9), None),
        ((0, 0, 5, -2), None),
    ],
)
def test_pixel_box(box: tuple[float, ...], expected: tuple[int, ...] | None) -> None:
    if expected:
        assert pixel_box(*box, (10, 20)) == expected
    else:
        with pytest.raises(ValueError, match="has no pixel"):
            pixel_box(*box, (10, 20))


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_bytes(text.replace(old, new).encode(errors="surrogateescape"))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("image_class_labels", "3 2\n", "", "no class for image 3"),
        ("image_class_labels", "3 2\n", "3 99\n", "no class 99, but image 3"),
        ("image_class_labels", "3 2\n", "3 1\n", "image 3 is 002.Painted_Bird_2/"),
        ("image_class_labels", "3 2\n", "2 1\n", "image_id 2 is in it twice"),
        ("classes", "2 002.Painted_Bird_2\n", "", "no class 2"),
        ("bounding_boxes", "3 ", "30 ", "no box for image 3"),
        ("bounding_boxes", "24.0 48.0", "wide high", "it must be four numbers"),
        ("bounding_boxes", "24.0 48.0", "0.0 48.0", "has no pixel"),
        ("bounding_boxes", "24.0 48.0", "inf nan", "it must be four numbers"),
    ],
)
def test_lists_of_birds_that_are_refused(birds: Preparation, file: str, old: str, new: str, message: str) -> None:
    change(birds.root / f"{file}.txt", old, new)
    assert message in birds.refused("--crop")
    assert not (birds.out / "dataset.json").exists()


def test_products(products: Preparation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts that equal the published ones are not reported."""
    published = {"train_images": 6, "train_identities": 3, "test_images": 9}
    monkeypatch.setattr(sop, "BENCHMARK", replace(sop.BENCHMARK, published=published))
    assert [line for line in products().splitlines() if line.startswith("differs")] == [
        "differs from the published Stanford Online Products: test images: 8 here, 9 published"
    ]
    assert products.info()["counts"]["published_but_different"] == {"test_images": 9}
    assert products.info()["counts"]["test_identities"] == 4
    tables = products.tables(images=True)
    assert products.sizes() == {"train.csv": 6, "test.csv": 8}
    assert tables["train.csv"][0] == ("1", "chair_final/111085122871_0.JPG")
    assert {row[0] for row in tables["test.csv"]} == {"4", "5", "6", "7"}
    assert products.evaluation_sets() == {"test": "all_vs_all"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image_id class_id super_class_id path", "1 1 1 a.JPG", "its first line must be"),
        ("1 1 2 chair_final", "1 1 chair_final", "line 2 is '1 1 chair_final"),
        ("3 2 1 bicycle_final/111085122872_0", "3 2 1 chair_final/111085122871_0", "is in it twice"),
        ("1 1 2 chair_final/111085122871_0", "1 1 2 chair_final/gone", "chair_final/gone.JPG: no such file"),
        ("5 3 2", "5 7 2", "class_id 7 is in both Ebay_train.txt and Ebay_test.txt"),
        (None, None, "there is no Ebay_train.txt in it"),
        ("chair", "\udcff", "not UTF-8 text"),
    ],
)
def test_lists_of_products_that_are_refused(products: Preparation, old: str | None, new: str, message: str) -> None:
    file = products.root / "Ebay_train.txt"
    if old:
        change(file, old, new)
    else:
        file.unlink()
    assert message in products.refused()
    assert not products.out.exists()
