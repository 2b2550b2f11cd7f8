"""Preparing Omniglot, on archives made here and, where they are at hand, on real ones."""

import io
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT
from PIL import Image

from dataset.formats.manifest import Manifest, read_manifest
from dataset.formats.prepared import open_prepared
from dataset.prepare.omniglot import main
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json

REAL = Path(os.environ.get("TRIPLET_DATA") or ROOT.parent / "shared" / "data") / "omniglot"


def drawing(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 2, (9, 9)).astype(bool)).save(stream, "PNG")
    return stream.getvalue()


def archive(file: Path, top: str, characters: dict[str, int], drawers: int = 2, extra: dict[str, bytes] | None = None):
    """A zip of `top/<alphabet/character>/<number>_<drawer>.png`; characters: name -> number among all characters."""
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(f"{top}/", "")
        for name, number in characters.items():
            for drawer in range(1, drawers + 1):
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


def run(out: Path, evaluation: Path, *backgrounds: Path) -> int:
    arguments = [argument for file in backgrounds for argument in ("--background", str(file))]
    return main([*arguments, "--evaluation", str(evaluation), "--out", str(out)])


def manifests(out: Path) -> tuple[Manifest, Manifest]:
    prepared = open_prepared(str(out))
    assert [(s.name, s.kind) for s in find_evaluation_sets(prepared.folder)] == [("test", "all_vs_all")]
    return tuple(read_manifest(out / name, prepared.image_root) for name in ("train.csv", "test.csv"))


def test_prepared_data_set(tmp_path: Path, background: Path, evaluation: Path, capsys) -> None:
    out = tmp_path / "data" / "omniglot"
    assert run(out, evaluation, background) == 0
    train, test = manifests(out)
    assert train.identities.tolist() == [
        *["Greek/character01"] * 2,
        *["Greek/character02"] * 2,
        *["Japanese_(katakana)/character01"] * 2,
    ]
    assert train.cameras.tolist() == ["01", "02"] * 3
    assert train.paths[0] == "background/Greek/character01/0001_01.png"
    assert Path(train.files()[1]).read_bytes() == drawing(102)
    assert test.paths.tolist() == [f"evaluation/Tengwar/character01/0965_0{d}.png" for d in (1, 2)]
    assert Path(test.files()[0]).read_bytes() == drawing(96501)
    info = read_json(out / "dataset.json")
    assert info["image_root"] == "images"
    assert info["counts"] == {"train_images": 6, "train_identities": 3, "test_images": 2, "test_identities": 1}
    assert len([file for file in (out / "images").rglob("*") if file.is_file()]) == 8
    said = capsys.readouterr().out
    assert "19280 images of 964 characters" in said
    assert "13180 images of 659 characters" in said


def test_again_and_completion(tmp_path: Path, background: Path, evaluation: Path, capsys) -> None:
    out = tmp_path / "o"
    assert run(out, evaluation, background) == 0
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    first, second = sorted((out / "images").rglob("*.png"))[:2]
    capsys.readouterr()
    assert run(out, evaluation, background) == 0
    assert "0 images extracted" in capsys.readouterr().out
    first.unlink()  # lost after completion
    assert run(out, evaluation, background) == 0
    assert "1 images extracted" in capsys.readouterr().out
    (out / "dataset.json").unlink()  # interrupted while extracting
    (out / "test.csv").unlink()
    first.unlink()
    second.write_bytes(second.read_bytes()[:20])
    assert run(out, evaluation, background) == 0
    assert "2 images extracted" in capsys.readouterr().out
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


def test_several_background_archives(tmp_path: Path, background: Path, evaluation: Path) -> None:
    """What both hold is counted once."""
    more = archive(tmp_path / "small.zip", "images_background_small1", {"Greek/character01": 1, "Latin/character07": 9})
    assert run(tmp_path / "o", evaluation, background, more) == 0
    assert len(manifests(tmp_path / "o")[0]) == 8


def test_conflicting_background_archives(tmp_path: Path, background: Path, evaluation: Path, capsys) -> None:
    name = "small/Greek/character01/0001_01.png"
    other = archive(tmp_path / "other.zip", "small", {}, extra={name: drawing(5)})
    assert run(tmp_path / "o", evaluation, background, other) == 2
    assert "different images" in capsys.readouterr().err
    renamed = archive(tmp_path / "renamed.zip", "small", {"All/character0001": 1})
    assert run(tmp_path / "o", evaluation, background, renamed) == 2
    assert "are one character" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "images_background/../../evil.png",
        "/evil.png",
        "C:/evil.png",
        "a\\..\\..\\evil.png",
        "\\evil.png",
    ],
)
def test_names_that_lead_outside_are_refused(tmp_path: Path, evaluation: Path, capsys, name: str) -> None:
    bad = archive(tmp_path / "bad.zip", "images_background", {"Greek/character01": 1}, extra={name: drawing(0)})
    assert run(tmp_path / "o", evaluation, bad) == 2
    assert "outside" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_wrong_archives(tmp_path: Path, background: Path, evaluation: Path, capsys) -> None:
    copy = Path(shutil.copy(evaluation, tmp_path / "copy.zip"))
    strokes = archive(tmp_path / "strokes.zip", "strokes", {}, extra={"strokes/Greek/character01/0001_01.txt": b"0"})
    anonymous = archive(tmp_path / "anonymous.zip", "images", {"Tengwar/character01": 965})
    half = tmp_path / "half.zip"
    half.write_bytes(background.read_bytes()[:-200])
    cases = [
        ((evaluation, evaluation), "evaluation set"),
        ((evaluation, copy), "evaluation set"),
        ((background, background), "background set"),
        ((evaluation, anonymous), "share 2 images"),
        ((evaluation, strokes), "no images of the form"),
        ((evaluation, tmp_path / "none.zip"), "no such file"),
        ((evaluation, half), "not a readable zip"),
        ((evaluation, tmp_path), "not a readable zip"),
    ]
    for files, message in cases:
        assert run(tmp_path / "o", *files) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not (tmp_path / "o").exists()


def test_damaged_member(tmp_path: Path, background: Path, evaluation: Path, capsys) -> None:
    data = bytearray(background.read_bytes())
    data[data.find(drawing(101)) + 30] ^= 255
    background.write_bytes(data)
    assert run(tmp_path / "o", evaluation, background) == 2
    assert "0001_01.png cannot be unpacked" in capsys.readouterr().err
    assert not (tmp_path / "o" / "dataset.json").exists()


def test_member_that_is_no_png(tmp_path: Path, evaluation: Path, capsys) -> None:
    bad = archive(tmp_path / "bad.zip", "top", {}, extra={"top/Greek/character01/0001_01.png": b"GIF89a"})
    assert run(tmp_path / "o", evaluation, bad) == 2
    assert "no PNG" in capsys.readouterr().err


def test_other_content_is_refused(tmp_path: Path, background: Path, evaluation: Path, capsys) -> None:
    out = tmp_path / "o"
    assert run(out, evaluation, background) == 0
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    other = archive(tmp_path / "other.zip", "images_background", {"Greek/character01": 1})
    assert run(out, evaluation, other) == 2
    (out / "query.csv").write_text("identity,path\n")
    assert run(out, evaluation, background) == 2
    assert "query.csv" in capsys.readouterr().err
    (out / "query.csv").unlink()
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real archives are not at hand ({REAL}; see TRIPLET_DATA)")
def test_real_small_archives(tmp_path: Path, capsys) -> None:
    """136 and 156 characters of 5 alphabets each, 50 of them (Greek's and Latin's) in both."""
    with (
        zipfile.ZipFile(REAL / "images_background_small2.zip") as opened,
        zipfile.ZipFile(tmp_path / "greek.zip", "w") as test,
    ):
        for name in opened.namelist():
            if "/Greek/" in name and name.endswith(".png"):
                test.writestr(name.replace("images_background_small2", "test"), opened.read(name))
    assert run(tmp_path / "o", tmp_path / "greek.zip", REAL / "images_background_small1.zip") == 2
    assert "share" in capsys.readouterr().err
    small = [REAL / f"images_background_small{i}.zip" for i in (1, 2)]
    made = archive(tmp_path / "images_evaluation.zip", "images_evaluation", {"Tengwar/character01": 965})
    assert run(tmp_path / "o", made, *small) == 0
    train, _ = manifests(tmp_path / "o")
    assert len(train) == 242 * 20
    assert len(set(train.identities)) == 242
    with Image.open(train.files()[0]) as image:
        assert image.size == (105, 105)
