"""Preparing Market-1501."""

import csv
import shutil
from pathlib import Path

import pytest
from helpers.reid_trees import linked_identities, make_dukemtmc, make_market1501, read_tables
from PIL import Image

from dataset.formats.camera_names import CAMERA_IN_NAME
from dataset.formats.prepared import open_prepared
from dataset.prepare.market1501 import BENCHMARK, main
from dataset.sources.counts import count
from dataset.sources.layout import FOLDERS
from dataset.sources.names import FORMS, parse_names
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """4 + 4 identities, 3 cameras, 3 images each, 4 of junk and 4 distractors, in a folder with a space."""
    return make_market1501(tmp_path / "my Market")


def test_prepared_data_set(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("--root", tree, "--out", out) == 0
    tables = read_tables(out)
    assert {name: len(rows) for name, rows in tables.items()} == {
        "train.csv": 36,
        "query.csv": 12,
        "gallery.csv": 44,
        "multi_query.csv": 36,
    }
    for name, folder in FOLDERS.items():
        assert [row[1] for row in tables[name]] == sorted(
            f"{folder}/{f.name}" for f in (tree / folder).iterdir() if f.suffix == ".jpg"
        )
        for identity, path, camera, sequence in tables[name]:  # the name read by position
            stem = Path(path).name
            where = stem.index("_c") + 2
            assert (identity, camera) == (stem[: where - 2], stem[where])
            assert sequence == stem[: where + 3]
        assert not linked_identities(tables[name])
    assert [row[0] for row in tables["gallery.csv"]].count("-1") == 4
    assert [row[0] for row in tables["gallery.csv"]].count("0000") == 4
    assert any(row[1].endswith(".jpg.jpg") for row in tables["gallery.csv"])

    info = read_json(out / "dataset.json")
    assert info["image_root"] == tree.as_posix()
    assert info["counts"]["train_identities"] == info["counts"]["gallery_identities"] == 4
    assert info["counts"]["gallery_junk_images"] == info["counts"]["gallery_distractor_images"] == 4
    assert info["counts"]["other_files_left_out"] == {".db": 1}
    assert info["counts"]["published_but_different"] == BENCHMARK.published
    assert info["counts"]["queries_without_match"] == 0
    assert [each.name for each in find_evaluation_sets(open_prepared(str(out)).folder)] == ["query_gallery"]
    said = capsys.readouterr().out
    assert "train images: 36 here, 12936 published" in said
    assert "other files left out: 1 .db" in said


def test_multi_query_rows_stand_together(tree: Path, tmp_path: Path) -> None:
    for file in (tree / "query").glob("0001_c1*"):  # a pair of identity and camera that no query asks for
        file.unlink()
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    tables = read_tables(tmp_path / "out")
    pairs = [(row[0], row[2]) for row in tables["multi_query.csv"]]
    assert len(pairs) == 33
    assert set(pairs) == {(row[0], row[2]) for row in tables["query.csv"]}
    assert pairs == sorted(pairs)


def test_without_multi_query(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(tree / "gt_bbox")
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    assert "multi_query.csv" not in read_tables(tmp_path / "out")
    assert "no multi_query.csv" in capsys.readouterr().out


def test_repeating_completes_and_other_content_is_refused(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("--root", tree, "--out", out, "--copy") == 0
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    (out / "dataset.json").unlink()  # as if it had been interrupted
    (out / "gallery.csv").unlink()
    next((out / "images" / "query").iterdir()).unlink()
    assert run("--root", tree, "--out", out, "--copy") == 0
    assert {file: file.read_bytes() for file in before} == before
    next((tree / "query").iterdir()).unlink()
    assert run("--root", tree, "--out", out, "--copy") == 2
    assert "choose another --out" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in before} == before


def test_out_may_be_the_tree(tree: Path) -> None:
    for _ in range(2):
        assert run("--root", tree, "--out", tree) == 0
    assert read_json(tree / "dataset.json")["image_root"] == "."
    assert run("--root", tree, "--out", tree, "--copy") == 2


def test_broken_images(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = sorted((tree / "query").iterdir())[0]
    cut.write_bytes(cut.read_bytes()[:-40])
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"query/{cut.name}: truncated" in error
    assert "--skip_broken" in error
    assert not (tmp_path / "out").exists()
    assert run("--root", tree, "--out", tmp_path / "out", "--skip_broken") == 0
    assert len(read_tables(tmp_path / "out")["query.csv"]) == 11
    assert read_json(tmp_path / "out" / "dataset.json")["counts"]["broken_images_left_out"] == 1


def test_queries_without_a_match_and_shared_identities_are_told(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for camera in (2, 3):
        for file in (tree / "bounding_box_test").glob(f"0001_c{camera}*"):
            file.unlink()
    Image.new("RGB", (8, 16)).save(tree / "bounding_box_train" / "0003_c1s1_000001_00.jpg")
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "1 queries have no match" in said  # that of camera 1; the others find its images
    assert "1 identities (0003 ...) are in train.csv" in said


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tree: shutil.rmtree(tree), "no such folder"),
        (lambda tree: shutil.rmtree(tree / "query"), "there is no query in it"),
        (lambda tree: [f.unlink() for f in (tree / "query").iterdir()], "no JPEG or PNG images"),
        (lambda tree: (tree / "query" / "me.jpg").touch(), "1 of 13 images have no name of Market-1501"),
        (lambda tree: (tree / "query" / "-1_c1s1_000001_00.jpg").touch(), "junk or distractors"),
    ],
)
def test_unusable_trees(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: object, message: str
) -> None:
    spoil(tree)
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_folder_above_is_pointed_down(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--root", tree.parent, "--out", tmp_path / "out") == 2
    assert f"did you mean --root {tree}?" in capsys.readouterr().err


def test_names_of_duke_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_dukemtmc(tmp_path / "duke", train=2, test=2, cameras=2, images=1)
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "DukeMTMC-reID: use python -m dataset.prepare.dukemtmc" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("form", FORMS)
def test_an_example_has_one_form_only(form: str) -> None:
    name = FORMS[form].example
    assert [key for key, each in FORMS.items() if each.match(name)] == [form]
    ((_, camera, *_),) = parse_names([name], form, "here")
    excluder = "duke" if form == "dukemtmc" else form
    if excluder in CAMERA_IN_NAME:
        assert CAMERA_IN_NAME[excluder].search(name)[1] == camera
        others = [key for key in CAMERA_IN_NAME if key != excluder and CAMERA_IN_NAME[key].search(name)]
        assert not others


def test_published_lists(shared_data: Path) -> None:
    """The real names give the published counts, and the identities of the older tools' lists."""
    tables = {}
    for table, part in (("train", "train"), ("query", "query"), ("gallery", "test")):
        with open(shared_data / "reid_lists" / f"market1501_{part}.csv", newline="") as file:
            listed = list(csv.reader(file))
        labels = parse_names([path.split("/")[-1] for _, path in listed], "market1501", part)
        assert [identity for identity, _, _ in labels] == [identity for identity, _ in listed]
        rows = [(identity, path, c, s) for (_, path), (identity, c, s) in zip(listed, labels, strict=True)]
        assert {row[2] for row in rows} == set("123456")
        assert not linked_identities(rows)
        tables[f"{table}.csv"] = rows
    counts = count(tables)
    assert {name: counts[name] for name in BENCHMARK.published} == BENCHMARK.published
    assert counts["queries_without_match"] == 0
