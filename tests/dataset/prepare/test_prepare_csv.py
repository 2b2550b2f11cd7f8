"""Preparing lists of images as other tools keep them."""

from pathlib import Path

import pytest
from helpers.commands import command
from helpers.reid_trees import make_dukemtmc, make_market1501, person, read_tables, save

from dataset.formats.prepared import open_prepared
from dataset.prepare.csv import main
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images of 4 identities, in folders with a space and an umlaut."""
    root = tmp_path / "my images"
    for identity in range(4):
        for number in range(3):
            save(root / f"größe {identity}" / f"{number}.jpg", person(identity, 1, number))
    return root


def rows_of(*identities: int) -> list[str]:
    return [f"p{identity},größe {identity}/{number}.jpg" for identity in identities for number in range(3)]


def write(file: Path, *lines: str) -> Path:
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return file


def test_train_and_test(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write(tmp_path / "train.csv", *rows_of(0, 1))
    test = write(tmp_path / "test.csv", "identity,path", *rows_of(2, 3))
    out = tmp_path / "out"
    for _ in range(2):
        code = run("--train", train, "--test", test, "--image_root", images, "--out", out, "--licence", "CC0")
        assert code == 0
    tables = read_tables(out)
    assert [",".join(row) for row in tables["train.csv"]] == rows_of(0, 1)
    assert [",".join(row) for row in tables["test.csv"]] == rows_of(2, 3)
    info = read_json(out / "dataset.json")
    assert (info["licence"], info["image_root"]) == ("CC0", images.as_posix())
    assert info["counts"]["train_identities"] == 2
    assert [each.kind for each in find_evaluation_sets(open_prepared(str(out)).folder)] == ["all_vs_all"]
    assert "published" not in capsys.readouterr().out


def test_copied_images_may_be_moved(images: Path, tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", *rows_of(0, 1))
    assert run("--train", train, "--image_root", images, "--out", tmp_path / "out", "--copy") == 0
    (tmp_path / "out").rename(tmp_path / "moved")
    for row in read_tables(tmp_path / "moved")["train.csv"]:
        assert (tmp_path / "moved" / "images" / row[1]).read_bytes() == (images / row[1]).read_bytes()


@pytest.mark.parametrize(("excluder", "make"), [("market1501", make_market1501), ("duke", make_dukemtmc)])
def test_cameras_of_file_names(tmp_path: Path, capsys: pytest.CaptureFixture[str], excluder: str, make: object) -> None:
    """The older tools' lists of a data set become what its own preparation makes."""
    root, options = make(tmp_path / "tree", train=2, test=2, cameras=2, images=2), []
    for name, folder in (("train", "bounding_box_train"), ("query", "query"), ("gallery", "bounding_box_test")):
        files = sorted(f.name for f in (root / folder).iterdir() if f.suffix == ".jpg")
        options += [f"--{name}", write(tmp_path / f"{name}.csv", *(f"{f.split('_')[0]},{folder}/{f}" for f in files))]
    out = tmp_path / "out"
    assert run(*options, "--image_root", root, "--excluder", excluder, "--out", out) == 0
    module = "market1501" if excluder == "market1501" else "dukemtmc"
    done = command("-m", f"dataset.prepare.{module}", "--root", root, "--out", tmp_path / "own")
    assert done.returncode == 0, done.stderr
    own = read_tables(tmp_path / "own")
    for name, rows in read_tables(out).items():
        assert rows == [row[:3] for row in own[name]]
    other = "duke" if excluder == "market1501" else "mars"
    assert run(*options, "--image_root", root, "--excluder", other, "--out", tmp_path / "other") == 2
    assert "no camera in the name of" in capsys.readouterr().err


def test_own_cameras_are_kept(images: Path, tmp_path: Path) -> None:
    query = write(tmp_path / "q.csv", "identity,path,camera", "p2,größe 2/0.jpg,left")
    gallery = write(tmp_path / "g.csv", "identity,path,camera", "p2,größe 2/1.jpg,right", "p3,größe 3/1.jpg,left")
    words = ("--query", query, "--gallery", gallery, "--image_root", images, "--out", tmp_path / "out")
    assert run(*words, "--excluder", "mars") == 0
    assert read_tables(tmp_path / "out")["query.csv"] == [("p2", "größe 2/0.jpg", "left")]


def test_backslashes(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.replace("/", "\\") for line in rows_of(0)] + rows_of(1)
    train = write(tmp_path / "train.csv", *lines)
    assert run("--train", train, "--image_root", images, "--out", tmp_path / "out") == 0
    assert [",".join(row) for row in read_tables(tmp_path / "out")["train.csv"]] == rows_of(0, 1)
    assert "3 of 6 paths had backslashes; they are written with forward slashes" in capsys.readouterr().out


def test_broken_images(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "größe 0" / "1.jpg").write_bytes(b"GIF89a")
    train = write(tmp_path / "train.csv", *rows_of(0, 1), "p9,gone.jpg")
    words = ("--train", train, "--image_root", images, "--out", tmp_path / "out")
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert "2 of 7 images are broken" in error
    assert "größe 0/1.jpg: not a JPEG or PNG but a GIF image" in error
    assert "gone.jpg: no such file" in error
    assert run(*words, "--skip_broken") == 0
    assert len(read_tables(tmp_path / "out")["train.csv"]) == 5
    assert "for evaluation only" not in capsys.readouterr().out


def test_evaluation_only(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = write(tmp_path / "test.csv", *rows_of(2, 3))
    assert run("--test", test, "--image_root", images, "--out", tmp_path / "out") == 0
    assert "for evaluation only" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([], None, "no images in it"),
        (["identity,path"], None, "no images in it"),
        (["p0,größe 0/0.jpg", "p0,größe 0/0.jpg"], None, "is already in row 1"),
        (["p0,größe 0/0.jpg", "p0,größe 0\\0.jpg"], None, "images 1 and 2 are one"),
        (["p0,größe 0/0.jpg", "p0,./größe 0//0.jpg"], None, "images 1 and 2 are one"),
        (["p0"], None, "1 fields instead of 2"),
        ([",größe 0/0.jpg"], None, "empty identity"),
        (["p0,/data/größe 0/0.jpg"], None, "has the absolute path '/data"),
        (["p0,images/../../p 0/0.jpg"], None, "which leads out of it"),
        (["p0,C:\\data\\0.jpg"], None, "has the absolute path 'C:"),
        (["p0,nowhere/0.jpg"], None, "is this the folder that the paths start from?"),
        (["p0,größe 0/0.jpg"], ["p5,größe 0/0.jpg", "p1,größe 1/0.jpg"], "share 1 images (größe 0/0.jpg ...)"),
    ],
)
def test_lists_that_are_refused(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    train: list[str],
    test: list[str] | None,
    message: str,
) -> None:
    words = ["--train", write(tmp_path / "train.csv", *train), "--image_root", images, "--out", tmp_path / "out"]
    words += ["--test", write(tmp_path / "test.csv", *test)] if test else []
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_options_that_are_refused(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = write(tmp_path / "some.csv", *rows_of(0, 1))
    for words, message in (
        ((), "no list given"),
        (("--query", some), "no --gallery"),
        (("--gallery", some), "no --query"),
        (("--train", tmp_path / "gone.csv"), "gone.csv: no such file"),
        (("--train", tmp_path), "cannot be read"),
    ):
        assert run(*words, "--image_root", images, "--out", tmp_path / "out") == 2
        assert message in capsys.readouterr().err
    assert run("--train", some, "--image_root", tmp_path / "gone", "--out", tmp_path / "out") == 2
    assert "--image_root" in capsys.readouterr().err
