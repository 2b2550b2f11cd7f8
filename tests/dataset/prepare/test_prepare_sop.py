"""Preparing Stanford Online Products."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.preparing import Preparation
from helpers.reid_trees import make_sop

from dataset.formats.prepared import open_prepared
from dataset.prepare import sop
from model.evaluation.sets import find_evaluation_sets


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    tree = make_sop(tmp_path / "Stanford_Online_Products", train=3, test=4, images=2)
    return Preparation(sop.main, capsys, tree, tmp_path / "out")


def test_prepared_data_set(prepare: Preparation) -> None:
    assert "train images: 6 here, 59551 published" in prepare()
    tables = prepare.tables()
    assert {name: len(rows) for name, rows in tables.items()} == {"train.csv": 6, "test.csv": 8}
    assert tables["train.csv"][0] == ("1", "chair_final/111085122871_0.JPG")
    assert all((prepare.root / path).is_file() for rows in tables.values() for _, path in rows)
    assert {row[0] for row in tables["test.csv"]} == {"4", "5", "6", "7"}
    assert [each.kind for each in find_evaluation_sets(open_prepared(str(prepare.out)).folder)] == ["all_vs_all"]
    assert prepare.info()["counts"]["test_identities"] == 4


def test_published_counts_that_agree_are_not_told(prepare: Preparation, monkeypatch: pytest.MonkeyPatch) -> None:
    published = {"train_images": 6, "train_identities": 3, "test_images": 9}
    monkeypatch.setattr(sop, "BENCHMARK", replace(sop.BENCHMARK, published=published))
    assert [line for line in prepare().splitlines() if line.startswith("differs")] == [
        "differs from the published Stanford Online Products: test images: 8 here, 9 published"
    ]
    assert prepare.info()["counts"]["published_but_different"] == {"test_images": 9}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image_id class_id super_class_id path", "1 1 1 a.JPG", "its first line must be"),
        ("1 1 2 chair_final", "1 1 chair_final", "line 2 is '1 1 chair_final"),
        ("3 2 1 bicycle_final/111085122872_0", "3 2 1 chair_final/111085122871_0", "stands twice in it"),
        ("1 1 2 chair_final/111085122871_0", "1 1 2 chair_final/gone", "chair_final/gone.JPG: no such file"),
        ("5 3 2", "5 7 2", "class_id 7 is in Ebay_train.txt and Ebay_test.txt"),
        (None, None, "there is no Ebay_train.txt in it"),
        ("chair", "\udcff", "cannot be read as text"),
    ],
)
def test_what_does_not_fit_is_refused(prepare: Preparation, old: str | None, new: str, message: str) -> None:
    file = prepare.root / "Ebay_train.txt"
    text = file.read_text()
    file.unlink()
    if old:
        assert old in text
        file.write_bytes(text.replace(old, new).encode(errors="surrogateescape"))
    assert message in prepare.refused()
    assert not prepare.out.exists()
