"""Preparing Stanford Online Products."""

from pathlib import Path

import pytest
from helpers.reid_trees import make_sop, read_tables

from dataset.formats.prepared import open_prepared
from dataset.prepare.sop import main
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_sop(tmp_path / "Stanford_Online_Products", train=3, test=4, images=2)


def test_prepared_data_set(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    tables = read_tables(tmp_path / "out")
    assert {name: len(rows) for name, rows in tables.items()} == {"train.csv": 6, "test.csv": 8}
    assert tables["train.csv"][0] == ("1", "chair_final/111085122871_0.JPG")
    assert all((tree / path).is_file() for rows in tables.values() for _, path in rows)
    assert {row[0] for row in tables["test.csv"]} == {"4", "5", "6", "7"}
    assert [each.kind for each in find_evaluation_sets(open_prepared(str(tmp_path / "out")).folder)] == ["all_vs_all"]
    assert read_json(tmp_path / "out" / "dataset.json")["counts"]["test_identities"] == 4
    assert "train images: 6 here, 59551 published" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image_id class_id super_class_id path", "1 1 1 a.JPG", "its first line must be"),
        ("1 1 2 chair_final", "1 1 chair_final", "line 2 is '1 1 chair_final"),
        ("3 2 1 bicycle_final/111085122872_0", "3 2 1 chair_final/111085122871_0", "stands twice in it"),
        ("1 1 2 chair_final/111085122871_0", "1 1 2 chair_final/gone", "chair_final/gone.JPG: no such file"),
        ("5 3 2", "5 7 2", "class_id 7 is in Ebay_train.txt and Ebay_test.txt"),
    ],
)
def test_what_does_not_fit_is_refused(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    text = (tree / "Ebay_train.txt").read_text()
    assert old in text
    (tree / "Ebay_train.txt").write_text(text.replace(old, new))
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_missing_lists(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "Ebay_test.txt").unlink()
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    assert "there is no Ebay_test.txt in it" in capsys.readouterr().err
