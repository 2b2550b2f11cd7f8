"""Preparing CUHK03 with its new protocol, from the archive and from the extracted form."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from helpers.preparing import Preparation
from helpers.reid_trees import cuhk03_person, make_cuhk03, make_cuhk03_np
from PIL import Image

from dataset.prepare.cuhk03 import main


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """4 + 3 persons, 3 images of each in 2 cameras."""
    return Preparation(main, capsys, make_cuhk03(tmp_path / "cuhk03"), tmp_path / "out", "--kind", "labeled")


def config(tree: Path) -> dict[str, np.ndarray]:
    return scipy.io.loadmat(tree / "cuhk03_new_protocol_config_labeled.mat")


def rewrite(tree: Path, **fields: object) -> None:
    values = {key: value for key, value in config(tree).items() if not key.startswith("_")}
    scipy.io.savemat(tree / "cuhk03_new_protocol_config_labeled.mat", values | fields)


@pytest.mark.parametrize(("kind", "train"), [("labeled", 24), ("detected", 23)])
def test_archive(prepare: Preparation, kind: str, train: int) -> None:
    prepare("--kind", kind)
    tables, info = prepare.tables(), prepare.info()
    assert {name: len(rows) for name, rows in tables.items()} == {"train.csv": train, "query.csv": 6, "gallery.csv": 12}
    assert info["image_root"] == "images"
    assert info["counts"]["kind"] == kind
    # Person 5 is the third of pair 1, its first image in camera 1 is a query: the pixels are those that were stored.
    assert ("0005", "1_003_1_01.png", "1") in tables["query.csv"]
    for name, label, camera, index in (("1_003_1_01.png", 5, 1, 0), ("2_001_2_07.png", 2, 2, 1)):
        np.testing.assert_array_equal(
            Image.open(prepare.out / "images" / name), cuhk03_person(kind, label, camera, index)
        )


def test_repeating_writes_nothing_and_the_other_kind_is_refused(prepare: Preparation) -> None:
    prepare()
    (prepare.out / "images" / "1_003_1_01.png").unlink()
    (prepare.out / "images" / "1_003_1_02.png").write_bytes(b"of an interrupted run")
    assert "2 images extracted" in prepare()
    assert "choose another --out" in prepare.refused("--kind", "detected")


def test_extracted_form_has_the_same_split(prepare: Preparation, tmp_path: Path) -> None:
    prepare()
    of_mat = prepare.tables()
    extracted, prepare.out = make_cuhk03_np(tmp_path / "with" / "cuhk03-np"), tmp_path / "np"
    prepare("--root", extracted.parent, "--out", prepare.out)
    of_np = prepare.tables()
    for name, rows in of_mat.items():
        assert sorted((row[0], row[2]) for row in rows) == sorted((row[0], row[2]) for row in of_np[name])
    assert prepare.info()["image_root"] == (extracted / "labeled").as_posix()


def test_cameras_that_contradict_the_names_are_told(prepare: Preparation) -> None:
    rewrite(prepare.root, camId=np.ones_like(config(prepare.root)["camId"]))
    assert "differs from the names for 21 images" in prepare()


def not_an_archive(tree: Path) -> None:
    (tree / "cuhk-03.mat").write_bytes(b"<html>not found</html>")


def without_kind(tree: Path) -> None:
    with h5py.File(tree / "cuhk-03.mat", "a") as file:
        del file["labeled"]


def with_an_empty_cell(tree: Path) -> None:
    with h5py.File(tree / "cuhk-03.mat", "a") as file:
        cells = file[file["labeled"][0, 0]]
        cells[0, 2] = file.create_dataset("#refs#/none", data=np.zeros(2, np.uint64)).ref


def with_name(tree: Path, name: str) -> None:
    names = np.empty((42, 1), object)
    names[:, 0] = [str(cell[0]) for cell in config(tree)["filelist"].ravel()]
    names[3, 0] = name
    rewrite(tree, filelist=names)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: (t / "cuhk-03.mat").unlink(), "there is neither"),
        (not_an_archive, "not a readable MATLAB 7.3"),
        (without_kind, "there is no 'labeled' in it"),
        (with_an_empty_cell, "the image 1_003_1_01.png of 'labeled' is empty"),
        (lambda t: (t / "cuhk03_new_protocol_config_labeled.mat").unlink(), "no such file"),
        (lambda t: rewrite(t, query_idx=np.array([43.0])), "query_idx has 43, but filelist has 42 names"),
        (lambda t: rewrite(t, query_idx=np.array([0.0])), "query_idx has 0"),
        (lambda t: rewrite(t, query_idx=config(t)["gallery_idx"]), "is in query_idx and again in gallery_idx"),
        (lambda t: rewrite(t, labels=np.ones((42, 1))), "label 0001 is in training and in test"),
        (lambda t: rewrite(t, labels=np.ones((41, 1))), "42 names, 41 labels, 42 cameras"),
        (lambda t: with_name(t, "0001_c1_1.png"), "name 4 of filelist is '0001_c1_1.png'"),
        (lambda t: with_name(t, "1_999_1_01.png"), "cannot read the image 1_999_1_01.png"),
        (lambda t: with_name(t, "9_001_1_01.png"), "cannot read the image 9_001_1_01.png"),
    ],
)
def test_what_does_not_fit_is_refused(prepare: Preparation, spoil: object, message: str) -> None:
    spoil(prepare.root)
    assert message in prepare.refused()
    assert not (prepare.out / "dataset.json").exists()
