"""TensorBoard's view of a run: topics, one curve for a resumed run, the charts of Custom Scalars."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.tensorboard_readers import curves_of, curves_served, reader, served
from helpers.training_results import events as events_of

from model.evaluation import curves as curves_module
from model.evaluation.curves import SetCurves
from model.run import events
from model.run.event_tags import evaluation_tag, first_charts, training_tag
from model.run.run_folder import RunFolder
from model.training.monitoring import TrainingMonitor
from runtime.json_files import append_json_line, drop_json_lines_after, read_json_lines


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("loss", "loss/loss"),
        ("hardest_positive_p95", "distances/hardest_positive_p95"),
        ("anchor_loss_p5", "loss/anchor_loss_p5"),
        ("batch_precision@K-1", "embedding/batch_precision@K-1"),
        ("something_of_mine", "other/something_of_mine"),
        ("mine/something", "mine/something"),
    ],
)
def test_topics(key, tag):
    assert training_tag(key) == tag


@pytest.fixture(params=[2**26, 500], ids=["one file", "many files"])
def size(request, monkeypatch) -> int:
    """The size at which another event file begins."""
    monkeypatch.setattr(events, "_LARGE", request.param)
    return request.param


def name_by_age(folder: Path) -> None:
    """Renames the event files as if each were of another second, since names order files only by the second."""
    old, new = [sorted(folder.glob(f"events.out.tfevents.{first}*")) for first in ("0", "[1-9]")]
    for number, file in enumerate(new, len(old)):
        file.rename(folder / f"events.out.tfevents.{number:010}")


def train(run: RunFolder, start: int, stop: int, every: int = 1) -> TrainingMonitor:
    """Logs the steps after `start`, with values that depend on `start`. It is not closed, as after a kill."""
    next_step = (start // every + 1) * every
    monitor = TrainingMonitor(run.train_events, run.metrics, start, next_step=next_step)
    for step in range(next_step, stop + 1, every):
        monitor.scalars(step, {"loss": start + step / 1000, "effective_rank": 1.0})
    name_by_age(run.train_events)
    return monitor


def evaluate(run: RunFolder, curves: SetCurves, *steps: int) -> None:
    """Adds results of these checkpoints, each with another value."""
    for step in steps:
        value = 0.5 + len(read_json_lines(run.results)) / 1024
        append_json_line(run.results, {"step": step, "metrics": {"map": value}})
        curves.update(read_json_lines(run.results))
    name_by_age(run.eval_events("test"))


def expected(run: RunFolder) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The curves according to metrics.jsonl and results.jsonl."""
    lines = read_json_lines(run.metrics)
    keys = {key for line in lines for key in line} - {"step"}
    found = {"train": {training_tag(key): [(line["step"], line[key]) for line in lines] for key in keys}}
    results = sorted((line["step"], line["metrics"]["map"]) for line in read_json_lines(run.results))
    return found | ({"eval/test": {evaluation_tag("map"): results}} if results else {})


def approximately(curves):
    return {
        run: {tag: [(s, pytest.approx(v)) for s, v in points] for tag, points in of.items()}
        for run, of in curves.items()
    }


def resumed_run(folder: Path) -> RunFolder:
    """A run killed at step 9, resumed from 5, killed at 12, and resumed from 8 with fewer lines; with evaluations."""
    run = RunFolder(folder)
    curves = SetCurves(run, "test")
    train(run, 0, 9)
    evaluate(run, curves, 0, 3, 6, 9)
    drop_json_lines_after(run.results, 5)
    train(run, 5, 12)
    evaluate(run, curves, 7, 8, 10)  # other steps than before: 6 is stale
    drop_json_lines_after(run.results, 8)
    train(run, 8, 16, every=4)
    evaluate(run, SetCurves(run, "test"), 16, 12)  # a new evaluator, the newest checkpoint first
    return run


def test_a_resumed_run_is_one_curve_in_the_python_loader(tmp_path, size):
    run = resumed_run(tmp_path)
    files = len(list(run.train_events.iterdir()))
    assert files > 5 if size == 500 else files == 3
    assert [step for step, _ in expected(run)["train"]["loss/loss"]] == [1, 2, 3, 4, 5, 6, 7, 8, 12, 16]
    assert [step for step, _ in expected(run)["eval/test"]["evaluation/map"]] == [0, 3, 7, 8, 12, 16]
    assert curves_of(reader(tmp_path)) == approximately(expected(run))


@pytest.mark.usefixtures("size")
def test_a_running_reader_sees_one_curve(tmp_path):
    run = RunFolder(tmp_path)
    curves = SetCurves(run, "test")
    train(run, 0, 9)
    evaluate(run, curves, 0, 4, 8)
    multiplexer = reader(tmp_path)
    assert curves_of(multiplexer) == approximately(expected(run))
    drop_json_lines_after(run.results, 4)
    train(run, 4, 7)
    evaluate(run, curves, 6)
    assert curves_of(multiplexer) == approximately(expected(run))


@pytest.mark.slow
@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_a_resumed_run_is_one_curve_in_every_mode_of_the_server(tmp_path, load_fast):
    run = resumed_run(tmp_path)
    with served(tmp_path, load_fast) as ask:
        assert curves_served(ask) == approximately(expected(run))


@pytest.mark.slow
@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_the_first_charts_show_several_runs(tmp_path, load_fast):
    for name in ("a", "b"):
        resumed_run(tmp_path / name)
    with served(tmp_path, load_fast) as ask:
        (category,) = ask("custom_scalars/layout")["category"]
        assert len(category["chart"]) == 6
        assert ask("scalars/tags").keys() == {"a/train", "a/eval/test", "b/train", "b/eval/test"}


def test_the_first_charts_find_their_tags():
    """A renamed metric would leave a chart empty."""
    keys = ("loss", "triplet_loss", "active_fraction", "hardest_positive", "hardest_negative", "effective_rank")
    tags = [training_tag(key) for key in (*keys, "hardest_positive_p5", "data_wait_share", "embedding_std")]
    tags += [evaluation_tag(key) for key in ("general_accuracy", "map", "map@r", "map_market", "cmc@1")]
    (category,) = first_charts().category
    found = [[tag for tag in tags if re.match(chart.multiline.tag[0], tag)] for chart in category.chart]
    assert found == [
        ["loss/loss", "loss/triplet_loss"],
        ["mining/active_fraction"],
        ["distances/hardest_positive", "distances/hardest_negative"],
        ["evaluation/general_accuracy", "evaluation/map"],
        ["embedding/effective_rank"],
        ["speed/data_wait_share"],
    ]


def test_pictures_become_rarer():
    kept = [number for number in range(100_000) if events.is_kept(number, 100)]
    assert kept[:100] == list(range(100))
    assert kept[100:103] == [100, 102, 104]
    assert len(kept) <= 100 + 50 * 10
    gaps = [(after - before) / before for before, after in itertools.pairwise(kept) if before >= 100]
    assert max(gaps) <= 0.02  # of the length of the run so far


def test_pictures_of_evaluations_become_rarer(tmp_path, monkeypatch):
    monkeypatch.setattr(curves_module, "PICTURES", 2)
    run, picture, drawn = RunFolder(tmp_path), np.zeros((2, 2, 3), np.uint8), []

    def draw(step):
        drawn.append(step)
        yield "rankings", picture

    of_set, lines = SetCurves(run, "test"), []
    for step in range(9):
        lines.append({"step": step, "metrics": {"map": 0.5}})
        if step == 3:  # the evaluator is started again
            of_set = SetCurves(run, "test")
        of_set.update(lines)
        of_set.pictures(step, draw(step))
    found = events_of(run.eval_events("test"))["evaluation/rankings"]
    assert [step for step, _ in found] == [0, 1, 2, 4, 8]
    assert drawn == list(range(9)), "drawing also writes the projector"
