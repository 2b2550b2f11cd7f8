"""Preparing MARS, and CUHK03 with its new protocol, from the archive and from the extracted form."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from helpers.peak_memory import run_measured
from helpers.preparing import Preparation, linked_identities
from helpers.reid_trees import cuhk03_person, make_cuhk03, make_cuhk03_np, make_mars
from PIL import Image

from dataset.prepare import cuhk03, mars
from runtime.json_files import read_json


@pytest.fixture
def tracks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """MARS: 4 + 4 identities, 3 cameras, 2 tracks of 3 images each, 3 of junk and 3 of distractors; no images."""
    tree = make_mars(tmp_path / "MARS", pictures=False)
    return Preparation(mars.main, capsys, tree, tmp_path / "out", "--check", "off")


@pytest.fixture
def boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """CUHK03: 4 + 3 persons, 3 images of each in 2 cameras."""
    return Preparation(cuhk03.main, capsys, make_cuhk03(tmp_path / "cuhk03"), tmp_path / "out", "--kind", "labeled")


def test_prepared_mars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare = Preparation(mars.main, capsys, make_mars(tmp_path / "MARS"), tmp_path / "out")
    prepare()
    tables, counts = prepare.tables(images=True), prepare.info()["counts"]
    assert prepare.sizes() == {"train.csv": 72, "query.csv": 36, "gallery.csv": 90}
    for rows in tables.values():
        assert not linked_identities(rows)
        names: dict[str, list[str]] = {}
        for identity, path, camera, sequence in rows:
            folder, name = path.split("/")[1:]
            assert name.startswith(f"{folder}C{camera}T")
            assert identity == {"00-1": "-1"}.get(folder, folder)
            names.setdefault(sequence, []).append(name)
        for first, *others in names.values():  # each has the three images of one track, in their order
            assert first.endswith("F001.jpg")
            assert others == [first.replace("F001", "F002"), first.replace("F001", "F003")]
    assert [row[0] for row in tables["gallery.csv"]].count("-1") == 9
    # All queries are in the gallery as well, under the same sequence.
    assert set(tables["query.csv"]) < set(tables["gallery.csv"])
    assert (counts["train_tracks"], counts["query_tracks"], counts["gallery_tracks"]) == (24, 12, 30)
    assert (counts["gallery_junk_tracks"], counts["queries_without_match"]) == (3, 0)
    assert prepare.evaluation_sets() == {"query_gallery": "query_gallery"}


def test_queries_are_the_tracks_of_query_idx(tracks: Preparation) -> None:
    """Row n of the table, counted from 1, is the sequence ..._t<n>."""
    write_queries(tracks.root, 7, 30)
    table = scipy.io.loadmat(tracks.root / "info" / "tracks_test_info.mat")["track_test_info"]
    names = (tracks.root / "info" / "test_name.txt").read_text().split()
    tracks()
    rows = tracks.tables()["query.csv"]
    expected = [names[i - 1] for row in (7, 30) for i in range(table[row - 1, 0], table[row - 1, 1] + 1)]
    assert [row[1].split("/")[-1] for row in rows] == expected
    assert [row[3][-6:] for row in rows] == ["t00007"] * 3 + ["t00030"] * 3


@pytest.mark.parametrize(("kind", "train"), [("labeled", 24), ("detected", 23)])
def test_archive_of_cuhk03(boxes: Preparation, kind: str, train: int) -> None:
    boxes("--kind", kind)
    tables, info = boxes.tables(), boxes.info()
    assert boxes.sizes() == {"train.csv": train, "query.csv": 6, "gallery.csv": 12}
    assert info["image_root"] == "images"
    assert info["counts"]["kind"] == kind
    # Person 5 is the third of pair 1, its first image in camera 1 is a query: the pixels are those that were stored.
    assert ("0005", "1_003_1_01.png", "1") in tables["query.csv"]
    for name, label, camera, index in (("1_003_1_01.png", 5, 1, 0), ("2_001_2_07.png", 2, 2, 1)):
        stored = cuhk03_person(kind, label, camera, index)
        np.testing.assert_array_equal(Image.open(boxes.out / "images" / name), stored)


def test_cuhk03_again_extracted_and_of_the_other_kind(boxes: Preparation, tmp_path: Path) -> None:
    """Existing files are not written again; the extracted form has the same split."""
    boxes()
    of_mat = boxes.tables()
    (boxes.out / "images" / "1_003_1_01.png").unlink()
    (boxes.out / "images" / "1_003_1_02.png").write_bytes(b"of an interrupted run")
    assert "2 images extracted" in boxes()
    assert "choose another --out" in boxes.refused("--kind", "detected")
    extracted, boxes.out = make_cuhk03_np(tmp_path / "with" / "cuhk03-np"), tmp_path / "np"
    boxes("--root", extracted.parent, "--out", boxes.out)
    of_np = boxes.tables()
    for name, rows in of_mat.items():
        assert sorted((row[0], row[2]) for row in rows) == sorted((row[0], row[2]) for row in of_np[name])
    assert boxes.info()["image_root"] == (extracted / "labeled").as_posix()


def test_cameras_that_contradict_the_names_are_reported(boxes: Preparation) -> None:
    rewrite(boxes.root, camId=np.ones_like(config(boxes.root)["camId"]))
    assert "contradicts the file name of 21 images" in boxes()


def change(tree: Path, part: str, row: int, column: int, value: int) -> None:
    file = tree / "info" / f"tracks_{part}_info.mat"
    table = scipy.io.loadmat(file)[f"track_{part}_info"]
    table[row - 1, column] = value
    scipy.io.savemat(file, {f"track_{part}_info": table})


def write_queries(tree: Path, *numbers: float, name: str = "query_IDX") -> None:
    scipy.io.savemat(tree / "info" / "query_IDX.mat", {name: np.array([numbers])})


HEADER_OF_V73 = (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM").ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda t: change(t, "train", 5, 2, 6),
            "row 5 has identity 6 and camera 3, but its image is '0002C3T0001F001.jpg' (line 13",
        ),
        (
            lambda t: change(t, "test", 2, 3, 4),
            "row 2 has identity -1 and camera 4, but its image is '00-1C1T0002F001.jpg' (line 4",
        ),
        (lambda t: change(t, "train", 24, 1, 73), "row 24 has the images 70 to 73, but the list of names has 72"),
        (lambda t: change(t, "train", 3, 0, 0), "row 3 has the images 0 to 9"),
        (lambda t: change(t, "train", 4, 0, 9), "rows 3 and 4 share the image 9"),
        (lambda t: change(t, "train", 4, 1, 5), "row 4 has the images 10 to 5"),
        (lambda t: shutil.copy(t / "info" / "test_name.txt", t / "info" / "train_name.txt"), "row 1 has identity 2"),
        (lambda t: write_queries(t, 31), "entry 1 is 31; entries must be numbers of test tracks, 1 to 30"),
        (lambda t: write_queries(t, 8, 0), "entry 2 is 0"),
        (lambda t: write_queries(t, 8, 8), "is in it twice"),
        (lambda t: write_queries(t, 1), "track 1 is junk"),
        (lambda t: (t / "info" / "query_IDX.mat").unlink(), "there is no info/query_IDX.mat"),
        (
            lambda t: (t / "info" / "query_IDX.mat").write_bytes(b"<html>" * 40),
            "an HTML page (a failed download?), not a MATLAB file",
        ),
        (lambda t: (t / "info" / "query_IDX.mat").write_bytes(HEADER_OF_V73), "query_IDX.mat: "),
        (lambda t: write_queries(t, 1, name="other"), "only other"),
        (lambda t: write_queries(t, 1.5), "whole numbers"),
        (lambda t: (t / "info" / "test_name.txt").write_text(""), "no names in it"),
        (lambda t: (t / "info" / "test_name.txt").write_text("a\nb\na\n"), "'a' is in it twice"),
    ],
)
def test_what_does_not_fit_in_mars(tracks: Preparation, damage: object, message: str) -> None:
    damage(tracks.root)
    assert message in tracks.refused()
    assert not tracks.out.exists()


def config(tree: Path) -> dict[str, np.ndarray]:
    return scipy.io.loadmat(tree / "cuhk03_new_protocol_config_labeled.mat")


def rewrite(tree: Path, **fields: object) -> None:
    values = {key: value for key, value in config(tree).items() if not key.startswith("_")}
    scipy.io.savemat(tree / "cuhk03_new_protocol_config_labeled.mat", values | fields)


def without_kind(tree: Path) -> None:
    with h5py.File(tree / "cuhk-03.mat", "a") as file:
        del file["labeled"]


def with_an_empty_cell(tree: Path) -> None:
    with h5py.File(tree / "cuhk-03.mat", "a") as file:
        cells = file[file["labeled"][0, 0]]
        cells[0, 2] = file.create_dataset("#refs#/none", data=np.zeros(2, np.uint64)).ref


def with_name(tree: Path, name: str) -> None:
    names = config(tree)["filelist"]
    names[3, 0] = name
    rewrite(tree, filelist=names)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: (t / "cuhk-03.mat").unlink(), "it must have labeled/"),
        (
            lambda t: (t / "cuhk-03.mat").write_bytes(b"<html>not found</html>"),
            "this is not an HDF5 file: it is an HTML page",
        ),
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
def test_what_does_not_fit_in_cuhk03(boxes: Preparation, damage: object, message: str) -> None:
    damage(boxes.root)
    assert message in boxes.refused()
    assert not (boxes.out / "dataset.json").exists()


@pytest.mark.slow
def test_real_tables_of_mars(shared_data: Path, tmp_path: Path) -> None:
    """They give the published counts, in seconds and well below a gigabyte; names are made up from the tables."""
    info, lists = tmp_path / "MARS" / "info", shared_data / "reid_lists"
    info.mkdir(parents=True)
    for name in ("tracks_train_info", "tracks_test_info", "query_IDX"):
        shutil.copy(lists / f"mars_{name}.mat", info / f"{name}.mat")
    for part in ("train", "test"):
        with open(info / f"{part}_name.txt", "w") as file:
            table = scipy.io.loadmat(info / f"tracks_{part}_info.mat")[f"track_{part}_info"]
            for row, (first, last, identity, camera) in enumerate(table):
                who = "00-1" if identity == -1 else f"{identity:04d}"
                for frame in range(last - first + 1):
                    file.write(f"{who}C{camera}T{row:04d}F{frame + 1:03d}.jpg\n")
    words = ["dataset.prepare.mars", "--root", tmp_path / "MARS", "--out", tmp_path / "out", "--check", "off"]
    said, peak = run_measured(*words)
    assert peak < 1000
    assert "published" not in said
    counts, published = read_json(tmp_path / "out" / "dataset.json")["counts"], mars.BENCHMARK.published
    assert {name: counts[name] for name in published} == published
    assert (counts["gallery_junk_tracks"], counts["queries_without_match"]) == (870, 0)
