"""Evaluation sets without a match are found before training, and do not stop the others."""

import numpy as np
import pytest
from helpers.tiny import make_dataset

from dataset.formats.prepared import open_prepared
from model.configuration.params import Params
from model.evaluation.sets import load_evaluation_sets
from runtime.errors import UserError


@pytest.fixture
def dataset(tmp_path):
    """test.csv has one image of each identity."""
    folder = make_dataset(tmp_path / "data")
    rows = (folder / "test.csv").read_text().splitlines()
    (folder / "test.csv").write_text("\n".join([rows[0], *rows[1::5]]) + "\n")
    return folder


def load(folder, bad=None, **params):
    sets = load_evaluation_sets(open_prepared(str(folder)), Params(dataset=str(folder), **params), bad)
    return [each.name for each in sets]


def test_a_set_without_a_match_is_refused_before_training(dataset):
    remedy = r'test.csv has a match .* set eval_sets to \["val_eval", "query_gallery"\]'
    with pytest.raises(UserError, match=remedy):
        load(dataset)
    assert load(dataset, eval_sets=["val_eval", "query_gallery"]) == ["val_eval", "query_gallery"]


def test_the_evaluator_goes_on_with_the_sound_sets(dataset):
    bad = {}
    assert load(dataset, bad) == ["val_eval", "query_gallery"]
    assert list(bad) == ["test"]
    assert "has a match" in bad["test"]
    with pytest.raises(UserError, match="evaluation set test"):  # named, so it is wanted
        load(dataset, {}, eval_sets=["test", "query_gallery"])


def test_a_protocol_that_leaves_nothing(dataset):
    for name in ("query.csv", "gallery.csv"):
        rows = (dataset / name).read_text().splitlines()
        (dataset / name).write_text("\n".join([f"{rows[0]},camera", *(f"{row},1" for row in rows[1:])]) + "\n")
    bad = {}
    assert load(dataset, bad) == ["val_eval"]
    assert "excluder market1501 excludes all of them" in bad["query_gallery"]


def test_no_sound_set_is_an_error(dataset):
    for name in ("query.csv", "gallery.csv", "episodes/val_eval.csv"):
        (dataset / name).unlink()
    with pytest.raises(UserError, match="has a match"):
        load(dataset, {})


def test_junk_is_nobody_in_sets_without_a_protocol(tmp_path):
    folder = make_dataset(tmp_path / "data")
    for name in ("test", "query", "gallery"):
        file = folder / f"{name}.csv"
        file.write_text(file.read_text().replace("id 0,", "-1,"))
    ready = load_evaluation_sets(open_prepared(str(folder)), Params(dataset=str(folder)))[1:]
    assert [each.excluded for each in ready] == ["5 junk images (identity -1)"] * 2
    random = np.random.default_rng(0)
    counts = [each.evaluate(random.normal(size=(len(each.files), 3))).counts for each in ready]
    assert [(each["queries"], each["gallery"]) for each in counts] == [(5, 20), (25, 25)]


def test_skipped_images_are_named_as_a_possible_cause(tmp_path):
    folder = make_dataset(tmp_path / "data")
    rows = [row.split(",") for row in (folder / "test.csv").read_text().splitlines()[1:]]
    first = dict(reversed(rows))
    for _, path in rows:
        if path not in first.values():
            (open_prepared(str(folder)).image_root / path).write_bytes(b"")
    with pytest.raises(UserError, match="images of it cannot be read and are skipped"):
        load(folder, eval_sets=["test"], corrupt_images="skip")
