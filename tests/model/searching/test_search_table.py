"""The table of a search, and the pruning rule."""

import csv
import json

import numpy as np
import pytest

from model.run.run_folder import RunFolder
from model.searching.pruning import mean_by_step, reason_to_prune
from model.searching.table import format_markdown, make_rows, write_tables
from model.searching.trials import main_metrics, make_trial, mark_pruned, name_trial
from model.training.supervisor import Evaluation
from runtime.json_files import append_json_line, write_json

METRIC = "val_eval/general_accuracy"


@pytest.fixture
def trials(tmp_path, dataset):
    """Four trials of three runs: run s of trial n has the value VALUES[n][s] at step 10 s."""
    found = []
    for number, values in enumerate(VALUES, start=1):
        trial = make_trial(number, {"margin": number, "head": "a|b"}, ["margin", "head"], tmp_path, [5, 6, 7])
        for place, (run, value) in enumerate(zip(trial.runs, values, strict=True)):
            run.checkpoints.mkdir(parents=True)
            params = {"dataset": str(dataset), "eval_sets": ["val_eval"], "save_checkpoints_steps": 10}
            run.resolved_json.write_text(json.dumps(params))
            run.done.write_text("25\n")
            # Step 13, at which the training was stopped, does not count.
            for step, of_step in ((10 * place, value), (13, 0.99), (25, value / 2)):
                for name, metrics in (
                    ("val_eval", {"general_accuracy": of_step, "easy_accuracy": of_step / 3}),
                    ("test", {"map": 0.5}),
                ):
                    line = {"step": step, "set": name, "checkpoint": f"ckpt-{step}", "metrics": metrics}
                    append_json_line(
                        run.results, line | {"definitions": {"dataset": str(dataset), "metric": "euclidean"}}
                    )
            write_json(run.best_json, {"step": 13, "set": "val_eval", "metric": "general_accuracy"})
        found.append(trial)
    return found


VALUES = [[0.5, 0.52, 0.61], [0.9, 0.7, 0.8], [0.1, 0.2, 0.3], [0.95, 0.95, 0.95]]


def test_rows_have_means_and_deviations_of_numpy(trials):
    rows = make_rows(trials, {}, ["margin", "head"], METRIC)
    assert [row["trial"] for row in rows] == [4, 2, 1, 3]
    for row in rows:
        values = VALUES[row["trial"] - 1]
        assert row[METRIC] == pytest.approx(np.mean(values), rel=1e-5)
        assert row["deviation"] == pytest.approx(np.std(values, ddof=1), rel=1e-5, abs=1e-12)
        assert row["val_eval/easy_accuracy"] == pytest.approx(np.mean(values) / 3, rel=1e-5)
        assert (row["runs"], row["step"], row["test/map"], row["status"]) == (3, 10, 0.5, "done")


def test_one_run_has_no_deviation(trials):
    single = [trial.__class__(trial.number, trial.name, trial.values, trial.runs[:1]) for trial in trials]
    assert {row["deviation"] for row in make_rows(single, {}, ["margin"], METRIC)} == {""}


def test_order_is_done_then_pruned_then_failed_then_unfinished(trials):
    mark_pruned(trials[3].runs[0], "0.1 at step 2, median 0.4")
    trials[0].runs[2].done.unlink()
    rows = make_rows(trials, {trials[1].runs[1]: "the loss is nan"}, ["margin"], METRIC)
    states = ["done", "pruned: 0.1 at step 2, median 0.4", "failed: the loss is nan", "unfinished"]
    assert [(row["trial"], row["status"]) for row in rows] == list(zip([3, 4, 2, 1], states, strict=True))
    assert (rows[2][METRIC], rows[2]["runs"]) == (pytest.approx(0.85), 2)  # over the runs that did not fail
    assert rows[3][METRIC] == ""


def test_files_say_the_same(trials, tmp_path):
    rows = make_rows(trials, {}, ["margin", "head"], METRIC)
    write_tables(tmp_path, rows)
    with open(tmp_path / "table.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{key: str(value) for key, value in row.items()} for row in rows]
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert len(lines) == 6
    assert "| a\\|b |" in lines[2]
    assert format_markdown(rows).splitlines() == lines


def test_main_metrics_are_those_of_the_kind():
    metrics = {"test": {"map": 0.5, "cmc@1": 0.7, "minp": 0.1}, "val_eval": {"general_accuracy": 1, "easy_accuracy": 2}}
    expected = {"test/map": 0.5, "test/cmc@1": 0.7, METRIC: 1, "val_eval/easy_accuracy": 2}
    assert main_metrics(metrics | {"unknown": {"x": 1}}) == expected


def test_names_are_safe_short_and_different():
    assert (
        name_trial({"margin": 0.2, "learning_rate": 1e-5, "head": "gem"}) == "margin=0.2,learning_rate=1e-05,head=gem"
    )
    odd = [name_trial({"image_size": size}) for size in ([8, 16], [8, 160], [816])]
    long = [name_trial({"warm_start_from": "x/" * 100 + end}) for end in "ab"]
    assert len({*odd, *long}) == 5
    for name in (*odd, *long):
        assert len(name) < 120
        assert not set(name) & set('/\\:*?"<>| []')


def evaluations(*values):
    return [Evaluation(step, value) for step, value in enumerate(values)]


def test_what_is_below_the_median_is_pruned():
    others = [{0: 0.0, 1: 0.2}, {1: 0.4}, {1: 0.9}, {2: 1.0}]
    assert reason_to_prune(evaluations(0.5, 0.39), others) == "0.39 at step 1, median 0.4"
    assert reason_to_prune(evaluations(0.5, 0.4), others) is None  # equal to the median
    assert reason_to_prune(evaluations(0.5, 0.0, 0.1), others) is None  # too few at step 2
    assert reason_to_prune(evaluations(-1.0), [{0: 1.0}] * 4) is None  # before training
    assert reason_to_prune([], others) is None


def test_a_trial_counts_with_the_mean_of_its_runs():
    assert mean_by_step([evaluations(1, 2), evaluations(3), []]) == {0: 2, 1: 2}
    assert mean_by_step([]) == {}


def test_runs_are_folders(tmp_path):
    trial = make_trial(1, {"margin": 0.2, "batch_k": 4}, ["margin"], tmp_path, [0, 1])
    assert [run.folder.name for run in trial.runs] == ["margin=0.2,seed=0", "margin=0.2,seed=1"]
    (only,) = make_trial(1, {}, [], tmp_path, [0]).runs
    assert isinstance(only, RunFolder)
    assert only.folder.name == "seed=0"
