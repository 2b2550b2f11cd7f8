"""Preparing Omniglot, on archives made here, and on real ones if available."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.preparing import Preparation
from PIL import Image

from dataset.prepare.omniglot import main


def drawing(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 2, (9, 9)).astype(bool)).save(stream, "PNG")
    return stream.getvalue()


def archive(file: Path, top: str, characters: dict[str, int], extra: dict[str, bytes] | None = None) -> Path:
    """A zip of two `top/<alphabet/character>/<number>_<drawer>.png` each; characters: name -> number among all."""
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(f"{top}/", "")
        for name, number in characters.items():
            for drawer in (1, 2):
                opened.writestr(f"{top}/{name}/{number:04d}_{drawer:02d}.png", drawing(100 * number + drawer))
        for name, data in (extra or {}).items():
            opened.writestr(name, data)
    return file


@pytest.fixture
def background(tmp_path: Path) -> Path:
    extra = {"__MACOSX/Greek/character01/0001_01.png": b"fork", "images_background/readme.txt": b"x"}
    characters = {"Greek/character02": 2, "Greek/character01": 1, "Japanese_(katakana)/character01": 3}
    return archive(tmp_path / "images_background.zip", "images_background", characters, extra=extra)


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    return archive(tmp_path / "images_evaluation.zip", "images_evaluation", {"Tengwar/character01": 965})


@pytest.fixture
def prepare(tmp_path: Path, evaluation: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """The command with the evaluation archive; a test adds those of the background."""
    return Preparation(main, capsys, evaluation, tmp_path / "data" / "omniglot", option="--evaluation")


def of(*archives: Path) -> list[object]:
    return [word for file in archives for word in ("--background", file)]


def test_prepared_data_set(prepare: Preparation, background: Path) -> None:
    said, tables, info = prepare(*of(background)), prepare.tables(images=True), prepare.info()
    characters = ["Greek/character01", "Greek/character02", "Japanese_(katakana)/character01"]
    assert tables["train.csv"] == [
        (name, f"background/{name}/{number:04d}_{drawer}.png", drawer)
        for number, name in enumerate(characters, start=1)
        for drawer in ("01", "02")
    ]
    assert [row[1] for row in tables["test.csv"]] == [f"evaluation/Tengwar/character01/0965_0{d}.png" for d in (1, 2)]
    for row, seed in ((tables["train.csv"][1], 102), (tables["test.csv"][0], 96501)):
        assert (prepare.out / "images" / row[1]).read_bytes() == drawing(seed)
    assert (info["name"], info["image_root"]) == ("omniglot", "images")
    assert info["counts"] == {"train_images": 6, "train_identities": 3, "test_images": 2, "test_identities": 1}
    assert prepare.evaluation_sets() == {"test": "all_vs_all"}
    assert len([file for file in (prepare.out / "images").rglob("*") if file.is_file()]) == 8
    assert "19,280 images of 964 characters" in said
    assert "13,180 images of 659 characters" in said


def test_again_and_completion(prepare: Preparation, background: Path, tmp_path: Path) -> None:
    """Another data set is never overwritten."""
    prepare(*of(background))
    before = prepare.files()
    first, second = sorted((prepare.out / "images").rglob("*.png"))[:2]
    assert "0 images extracted" in prepare(*of(background))
    (prepare.out / "dataset.json").unlink()  # interrupted while extracting
    (prepare.out / "test.csv").unlink()
    first.unlink()
    second.write_bytes(second.read_bytes()[:20])
    assert "2 images extracted" in prepare(*of(background))
    assert prepare.files() == before
    other = archive(tmp_path / "other.zip", "images_background", {"Greek/character01": 1})
    assert "choose another --out" in prepare.refused(*of(other))
    assert prepare.files() == before


def test_several_background_archives(prepare: Preparation, background: Path, tmp_path: Path) -> None:
    """Images in both are counted once, and must be equal."""
    name = "small/Greek/character01/0001_01.png"
    other = archive(tmp_path / "other.zip", "small", {}, extra={name: drawing(5)})
    assert "different images" in prepare.refused(*of(background, other))
    renamed = archive(tmp_path / "renamed.zip", "small", {"All/character0001": 1})
    assert "are the same character" in prepare.refused(*of(background, renamed))
    assert not prepare.out.exists()
    more = archive(tmp_path / "small.zip", "images_background_small1", {"Greek/character01": 1, "Latin/character07": 9})
    prepare(*of(background, more))
    assert prepare.sizes()["train.csv"] == 8


def test_wrong_archives(prepare: Preparation, background: Path, evaluation: Path, tmp_path: Path) -> None:
    strokes = archive(tmp_path / "strokes.zip", "strokes", {}, extra={"strokes/Greek/character01/0001_01.txt": b"0"})
    anonymous = archive(tmp_path / "anonymous.zip", "images", {"Tengwar/character01": 965})
    half = tmp_path / "half.zip"
    half.write_bytes(background.read_bytes()[:-200])
    for files, message in (
        ((evaluation, evaluation), "evaluation set"),
        ((background, background), "background set"),
        ((evaluation, anonymous), "share 2 images"),
        ((evaluation, strokes), "no images of the form"),
        ((evaluation, tmp_path / "none.zip"), "no such file"),
        ((evaluation, half), "not a readable zip"),
        ((evaluation, tmp_path), "this is a folder"),
    ):
        assert message in prepare.refused("--evaluation", files[0], *of(files[1]))
        assert not prepare.out.exists()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("../evil.png", b"", "outside"),
        ("images_background/../../evil.png", b"", "outside"),
        ("/evil.png", b"", "absolute"),
        ("C:/evil.png", b"", "absolute"),
        ("a\\..\\..\\evil.png", b"", "outside"),
        ("\\evil.png", b"", "absolute"),
        ("top/Greek/character01/0001_01.png", b"GIF89a", "is not a PNG image"),
        ("top/Greek/character01/0001_01.png", b"damaged", "cannot be unpacked"),
    ],
)
def test_members_that_are_refused(prepare: Preparation, tmp_path: Path, name: str, data: bytes, message: str) -> None:
    bad = archive(tmp_path / "bad.zip", "top", {"Greek/character02": 2}, extra={name: data})
    if data == b"damaged":
        bad.write_bytes(bad.read_bytes().replace(data, b"changed"))  # other bytes than their checksum says
    assert message in prepare.refused(*of(bad))
    assert not (prepare.out / "dataset.json").exists()
    assert message not in ("outside", "absolute") or not prepare.out.exists()


def test_real_small_archives(prepare: Preparation, shared_data: Path, tmp_path: Path) -> None:
    """136 and 156 characters of 5 alphabets each, 50 of them (Greek's and Latin's) in both."""
    small = [shared_data / "omniglot" / f"images_background_small{i}.zip" for i in (1, 2)]
    with zipfile.ZipFile(small[1]) as opened, zipfile.ZipFile(tmp_path / "greek.zip", "w") as test:
        for name in opened.namelist():
            if "/Greek/" in name and name.endswith(".png"):
                test.writestr(name.replace("images_background_small2", "test"), opened.read(name))
    assert "share" in prepare.refused("--evaluation", tmp_path / "greek.zip", *of(small[0]))
    prepare(*of(*small))
    rows = prepare.tables()["train.csv"]
    assert len(rows) == 242 * 20
    assert len({row[0] for row in rows}) == 242
    with Image.open(prepare.out / "images" / rows[0][1]) as image:
        assert image.size == (105, 105)
