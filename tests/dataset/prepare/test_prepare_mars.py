"""Preparing MARS."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers.peak_memory import run_measured
from helpers.preparing import Preparation, linked_identities
from helpers.reid_trees import make_mars

from dataset.formats.prepared import open_prepared
from dataset.prepare.mars import BENCHMARK, main
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """4 + 4 identities, 3 cameras, 2 tracks of 3 images each, 3 tracks of junk and 3 of distractors; no images."""
    tree = make_mars(tmp_path / "MARS", pictures=False)
    return Preparation(main, capsys, tree, tmp_path / "out", "--check", "off")


def test_prepared_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare = Preparation(main, capsys, make_mars(tmp_path / "MARS"), tmp_path / "out")
    prepare()
    tables, counts = prepare.tables(), prepare.info()["counts"]
    assert {name: len(rows) for name, rows in tables.items()} == {"train.csv": 72, "query.csv": 36, "gallery.csv": 90}
    for rows in tables.values():
        assert all((prepare.root / row[1]).is_file() for row in rows)
        assert not linked_identities(rows)
        tracks: dict[str, list[str]] = {}
        for identity, path, camera, sequence in rows:
            folder, name = path.split("/")[1:]
            assert name.startswith(f"{folder}C{camera}T")
            assert identity == {"00-1": "-1"}.get(folder, folder)
            tracks.setdefault(sequence, []).append(name)
        for names in tracks.values():  # each has the three images of one track, in their order
            assert [name[-8:] for name in names] == ["F001.jpg", "F002.jpg", "F003.jpg"]
            assert len({name[:-8] for name in names}) == 1
    assert [row[0] for row in tables["gallery.csv"]].count("-1") == 9
    # All queries are in the gallery as well, under the same sequence.
    assert set(tables["query.csv"]) < set(tables["gallery.csv"])
    assert (counts["train_tracks"], counts["query_tracks"], counts["gallery_tracks"]) == (24, 12, 30)
    assert (counts["gallery_junk_tracks"], counts["queries_without_match"]) == (3, 0)
    assert [each.name for each in find_evaluation_sets(open_prepared(str(prepare.out)).folder)] == ["query_gallery"]

    (prepare.root / "bbox_train" / "0002" / "0002C1T0001F002.jpg").unlink()
    prepare.out = tmp_path / "other"
    assert "0002C1T0001F002.jpg: no such file" in prepare.refused("--out", prepare.out)
    prepare("--out", prepare.out, "--skip_broken")
    assert len(prepare.tables()["train.csv"]) == 71


def test_queries_are_the_tracks_of_query_idx(prepare: Preparation) -> None:
    """Row n of the table, counted from 1, is the sequence ..._t<n>."""
    write_queries(prepare.root, 7, 30)
    table = scipy.io.loadmat(prepare.root / "info" / "tracks_test_info.mat")["track_test_info"]
    names = (prepare.root / "info" / "test_name.txt").read_text().split()
    prepare()
    rows = prepare.tables()["query.csv"]
    expected = [names[i - 1] for row in (7, 30) for i in range(table[row - 1, 0], table[row - 1, 1] + 1)]
    assert [row[1].split("/")[-1] for row in rows] == expected
    assert [row[3][-6:] for row in rows] == ["t00007"] * 3 + ["t00030"] * 3


def change(tree: Path, part: str, row: int, column: int, value: int) -> None:
    file = tree / "info" / f"tracks_{part}_info.mat"
    table = scipy.io.loadmat(file)[f"track_{part}_info"]
    table[row - 1, column] = value
    scipy.io.savemat(file, {f"track_{part}_info": table})


def swap_lists(tree: Path) -> None:
    (tree / "info" / "train_name.txt").write_bytes((tree / "info" / "test_name.txt").read_bytes())


def write_queries(tree: Path, *numbers: int) -> None:
    scipy.io.savemat(tree / "info" / "query_IDX.mat", {"query_IDX": np.array([numbers])})


def write_v73(tree: Path) -> None:
    header = b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM"
    (tree / "info" / "query_IDX.mat").write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: change(t, "train", 5, 2, 6), "row 5 has identity 6 and camera 3, but its image in line 13"),
        (lambda t: change(t, "test", 2, 3, 4), "row 2 has identity -1 and camera 4, but its image in line 4"),
        (lambda t: change(t, "train", 24, 1, 73), "row 24 has the images 70 to 73, but the list of names has 72"),
        (lambda t: change(t, "train", 3, 0, 0), "row 3 has the images 0 to 9"),
        (lambda t: change(t, "train", 4, 0, 9), "rows 3 and 4 share the image 9"),
        (lambda t: change(t, "train", 4, 1, 5), "row 4 has the images 10 to 5"),
        (swap_lists, "row 1 has identity 2"),
        (lambda t: write_queries(t, 31), "entry 1 is 31; entries must name one of 30 test tracks"),
        (lambda t: write_queries(t, 8, 0), "entry 2 is 0"),
        (lambda t: write_queries(t, 8, 8), "stands twice"),
        (lambda t: write_queries(t, 1), "track 1 is junk"),
        (lambda t: (t / "info" / "query_IDX.mat").unlink(), "there is no info/query_IDX.mat"),
        (lambda t: (t / "info" / "query_IDX.mat").write_bytes(b"<html>" * 40), "not a readable MATLAB file"),
        (write_v73, "query_IDX.mat: "),
        (lambda t: scipy.io.savemat(t / "info" / "query_IDX.mat", {"other": [1]}), "it holds other"),
        (lambda t: scipy.io.savemat(t / "info" / "query_IDX.mat", {"query_IDX": [1.5]}), "whole numbers"),
        (lambda t: (t / "info" / "test_name.txt").write_text(""), "no names in it"),
        (lambda t: (t / "info" / "test_name.txt").write_text("a\nb\na\n"), "'a' stands twice"),
    ],
)
def test_lists_and_tables_that_do_not_fit(prepare: Preparation, spoil: object, message: str) -> None:
    spoil(prepare.root)
    assert message in prepare.refused()
    assert not prepare.out.exists()


@pytest.mark.slow
def test_real_tables(shared_data: Path, tmp_path: Path) -> None:
    """The published counts, in seconds and well below a gigabyte; names are made up after the tables."""
    info = tmp_path / "MARS" / "info"
    info.mkdir(parents=True)
    for part in ("train", "test"):
        source = shared_data / "reid_lists" / f"mars_tracks_{part}_info.mat"
        (info / f"tracks_{part}_info.mat").write_bytes(source.read_bytes())
        with open(info / f"{part}_name.txt", "w") as file:
            for row, (first, last, identity, camera) in enumerate(scipy.io.loadmat(source)[f"track_{part}_info"]):
                who = "00-1" if identity == -1 else f"{identity:04d}"
                for frame in range(last - first + 1):
                    file.write(f"{who}C{camera}T{row:04d}F{frame + 1:03d}.jpg\n")
    (info / "query_IDX.mat").write_bytes((shared_data / "reid_lists" / "mars_query_IDX.mat").read_bytes())
    words = ["dataset.prepare.mars", "--root", tmp_path / "MARS", "--out", tmp_path / "out", "--check", "off"]
    said, peak = run_measured(*words)
    assert peak < 1000
    assert "published" not in said
    counts = read_json(tmp_path / "out" / "dataset.json")["counts"]
    assert {name: counts[name] for name in BENCHMARK.published} == BENCHMARK.published
    assert (counts["gallery_junk_tracks"], counts["queries_without_match"]) == (870, 0)
