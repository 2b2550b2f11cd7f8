"""Preparing lists of images as other tools keep them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.preparing import Preparation
from helpers.reid_trees import make_dukemtmc, make_market1501, person, save

from dataset.prepare import dukemtmc, market1501
from dataset.prepare.csv import main


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """Images of 4 identities, in folders with a space and an umlaut."""
    root = tmp_path / "my images"
    for identity in range(4):
        for number in range(3):
            save(root / f"größe {identity}" / f"{number}.jpg", person(identity, 1, number))
    return Preparation(main, capsys, root, tmp_path / "out", option="--image_root")


def rows_of(*identities: int) -> list[str]:
    return [f"p{identity},größe {identity}/{number}.jpg" for identity in identities for number in range(3)]


def write(file: Path, *lines: str) -> Path:
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return file


def test_train_and_test(prepare: Preparation, tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", *rows_of(0, 1))
    test = write(tmp_path / "test.csv", "identity,path", *rows_of(2, 3))
    for _ in range(2):
        assert "published" not in prepare("--train", train, "--test", test, "--licence", "CC0")
    tables, info = prepare.tables(), prepare.info()
    assert [",".join(row) for row in tables["train.csv"]] == rows_of(0, 1)
    assert [",".join(row) for row in tables["test.csv"]] == rows_of(2, 3)
    assert (info["licence"], info["image_root"]) == ("CC0", prepare.root.as_posix())
    assert info["counts"]["train_identities"] == 2
    assert prepare.evaluation_sets() == {"test": "all_vs_all"}


@pytest.mark.parametrize(
    ("excluder", "make", "own_main", "other"),
    [("market1501", make_market1501, market1501.main, "duke"), ("duke", make_dukemtmc, dukemtmc.main, "mars")],
)
def test_cameras_of_file_names(
    tmp_path: Path, capsys, excluder: str, make: Callable[..., Path], own_main: Callable[..., int], other: str
) -> None:
    """The older tools' lists of a data set become what its own preparation makes."""
    root, lists = make(tmp_path / "tree", train=2, test=2, images=2), []
    for name, folder in (("train", "bounding_box_train"), ("query", "query"), ("gallery", "bounding_box_test")):
        files = sorted(f.name for f in (root / folder).iterdir() if f.suffix == ".jpg")
        lists += [f"--{name}", write(tmp_path / f"{name}.csv", *(f"{f.split('_')[0]},{folder}/{f}" for f in files))]
    prepare = Preparation(main, capsys, root, tmp_path / "out", *lists, option="--image_root")
    own = Preparation(own_main, capsys, root, tmp_path / "own")
    assert "no camera in the name of" in prepare.refused("--excluder", other)
    prepare("--excluder", excluder)
    own()
    for name, rows in prepare.tables().items():
        assert rows == [row[:3] for row in own.tables()[name]]


def test_own_cameras_are_kept_for_evaluation_only(prepare: Preparation, tmp_path: Path) -> None:
    query = write(tmp_path / "q.csv", "identity,path,camera,sequence", "p2,größe 2/0.jpg,left,s1")
    gallery = write(tmp_path / "g.csv", "identity,path,camera", "p2,größe 2/1.jpg,right", "p3,größe 3/1.jpg,left")
    assert "for evaluation only" in prepare("--query", query, "--gallery", gallery, "--excluder", "mars")
    assert prepare.tables()["query.csv"] == [("p2", "größe 2/0.jpg", "left", "s1")]


def test_backslashes(prepare: Preparation, tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", *(line.replace("/", "\\") for line in rows_of(0)), *rows_of(1))
    assert "3 of 6 paths had backslashes; they are written with forward slashes" in prepare("--train", train)
    assert [",".join(row) for row in prepare.tables()["train.csv"]] == rows_of(0, 1)


@pytest.mark.parametrize(
    ("words", "train", "test", "message"),
    [
        ([], None, None, "no list given"),
        (["--query", "train.csv"], ["p0,größe 0/0.jpg"], None, "no --gallery"),
        (["--gallery", "train.csv"], None, None, "no --query"),
        (["--train", "gone.csv"], None, None, "gone.csv: no such file"),
        (["--train", "."], None, None, "cannot be read"),
        (["--image_root", "gone"], ["p0,größe 0/0.jpg"], None, "--image_root"),
        ([], [], None, "no images in it"),
        ([], ["identity,path"], None, "no images in it"),
        ([], ["p0,größe 0/0.jpg", "p0,größe 0/0.jpg"], None, "is already in row 1"),
        ([], ["p0,größe 0/0.jpg", "p0,größe 0\\0.jpg"], None, "images 1 and 2 are one"),
        ([], ["p0,größe 0/0.jpg", "p0,./größe 0//0.jpg"], None, "images 1 and 2 are one"),
        ([], ["p0"], None, "1 fields instead of 2"),
        ([], [",größe 0/0.jpg"], None, "empty identity"),
        ([], ["p0,/data/größe 0/0.jpg"], None, "has the absolute path '/data"),
        ([], ["p0,images/../../p 0/0.jpg"], None, "which leads out of it"),
        ([], ["p0,C:\\data\\0.jpg"], None, "has the absolute path 'C:"),
        ([], ["p0,nowhere/0.jpg"], None, "is this the folder that the paths start from?"),
        ([], ["p0,größe 0/0.jpg"], ["p5,größe 0/0.jpg", "p1,größe 1/0.jpg"], "share 1 images (größe 0/0.jpg ...)"),
    ],
)
def test_lists_that_are_refused(
    prepare: Preparation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words, train, test, message
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, lines in (("train", train), ("test", test)):
        words = words if lines is None else [*words, f"--{name}", write(tmp_path / f"{name}.csv", *lines)]
    assert message in prepare.refused(*words)
    assert not prepare.out.exists()
