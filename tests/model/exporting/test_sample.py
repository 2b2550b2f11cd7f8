"""The images for comparing an exported model with its run."""

import numpy as np
import pytest

from model.configuration.params import Params
from model.exporting import sample
from model.exporting.comparison import Comparison
from model.exporting.sample import Sample, read_sample
from runtime.errors import UserError


def params_of(dataset, **params):
    return Params(dataset=str(dataset), embedding_size=2, **params)


def test_the_first_set_with_queries_and_a_gallery_is_taken(dataset):
    found = read_sample(params_of(dataset), None)
    assert (found.set, found.source, len(found.files)) == ("query_gallery", "query_gallery", 30)
    identities = np.array([int(file.split("/id ")[1][0]) for file in found.files], float)
    perfect = np.stack([identities, np.zeros(30)], 1)
    assert found.recall(perfect) == 1
    wrong = perfect.copy()
    wrong[0] += 1  # the first query is where the next identity is
    assert found.recall(wrong) == pytest.approx(5 / 6)
    assert read_sample(params_of(dataset, eval_sets=["test"]), None).set == "test"


def test_whole_identities_are_drawn_if_there_are_too_many_images(dataset, monkeypatch):
    monkeypatch.setattr(sample, "MOST", 17)
    found = read_sample(params_of(dataset, eval_sets=["test"]), None)
    drawn = {file.split("/id ")[1][0] for file in found.files}
    assert (len(drawn), len(found.files)) == (3, 15)
    assert found.source == "3 identities of test drawn with a fixed seed, easier than the whole set"
    assert read_sample(params_of(dataset, eval_sets=["test"]), None).files == found.files
    assert found.recall(np.random.default_rng(0).normal(size=(15, 2))) < 1


def test_other_sets_and_the_training_list(own_dataset, monkeypatch):
    monkeypatch.setattr(sample, "COMPARED", 4)
    found = read_sample(params_of(own_dataset, eval_sets=["val_eval"]), None)
    assert (found.set, found.recall, found.source, len(found.files)) == (None, None, "val_eval", 4)
    for file in ("episodes/val_eval.csv", "query.csv", "gallery.csv", "test.csv"):
        (own_dataset / file).unlink()
    found = read_sample(params_of(own_dataset), None)
    assert (found.source, found.recall) == ("train.csv", None)
    numbers = [file.split("/id ")[1] for file in found.files]
    assert numbers == ["0/0.jpg", "1/4.jpg", "3/4.jpg", "5/4.jpg"]  # spread from the first to the last
    (own_dataset / "list.csv").write_text("path\ngone.png\n")
    with pytest.raises(UserError, match=r"gone\.png: no such file"):
        read_sample(params_of(own_dataset), str(own_dataset / "list.csv"))


def test_queries_without_a_match_do_not_fail(own_dataset):
    for file in ("query.csv", "gallery.csv"):  # all images of an identity are from one camera
        rows = (own_dataset / file).read_text().splitlines()[1:]
        (own_dataset / file).write_text("identity,path,camera\n" + "".join(f"{row},c1\n" for row in rows))
    found = read_sample(params_of(own_dataset), None)
    assert (found.recall, found.set, len(found.files)) == (None, None, 30)


def test_differences_are_divided_by_a_mean_length_above_1():
    few = Sample(["a", "b"], np.ones(2, np.uint8), "two images")
    of_run = np.array([[3.0, 4.0], [0.0, 15.0]], np.float32)
    found = Comparison(few, of_run, of_run + np.array([[0, 0.5], [-2, 0]], np.float32))
    assert (found.largest_difference, found.embedding_length, found.relative_difference) == (2, 10, 0.2)
    short = Comparison(few, of_run / 100, of_run / 100 + np.float32(0.25))
    assert short.relative_difference == pytest.approx(0.25)
    assert np.isnan(Comparison(few, of_run, of_run * np.nan).relative_difference)
