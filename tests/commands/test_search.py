"""search_hyperparams.py from end to end, on runs made by `fake_commands`."""

import json
import statistics

import pytest
from helpers.searches import (
    make_search,
    read_table,
    refuse,
    search,
    starts,
    use_fakes,
)

from model.run.run_folder import RunFolder

METRIC = "val_eval/general_accuracy"
SIX = ["--set", "margin=0.1,0.2,0.3", "--set", "learning_rate=1e-3,1e-4"]


@pytest.fixture
def folder(tmp_path, dataset):
    return make_search(tmp_path / "search", dataset)


# The search space


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "magin=1,2"], "unknown parameter 'magin'; did you mean 'margin'"),
        (["--set", "margin=1,2", "--set", "batch_k=4,0"], "batch_k is 0; it must be an integer >= 2"),
        (["--set", "learning_rate=-1:1", "--trials", 3], "learning_rate is -1"),
        (["--set", "batch_k=0.5:4", "--method", "optuna", "--trials", 3], "batch_k is 0.5"),
        (
            ["--set", "triplet_strategy=batch_hard,basic"],
            "--set triplet_strategy=basic: triplet_strategy 'basic' needs given triples",
        ),
        (["--set", "margin=0:1", "--method", "grid"], "margin is a range"),
        (["--set", "margin=1,2", "--method", "grid", "--trials", 3], "grid tries all combinations"),
        (["--set", "seed=1,2"], "use --seeds N"),
        (["--set", "best_metric=val_eval/easy_accuracy,auto"], "all trials are compared by the same metric"),
        (["--set", "best_metric=val_eval/nope"], "that set has"),
        (["--set", "dataset=nothing"], "python -m dataset.prepare"),
        (["--set", "eval_run_once=true"], "a search evaluates every checkpoint"),
        (["--set", 'eval_sets=["test"],["val_eval"]'], "compared by different metrics, test/map and val_eval/general"),
        (["--devices", "gpu:0,tpu"], "--devices 'tpu': it must be auto, cpu, gpu or gpu:N"),
        (["--params", "gone.json"], "gone.json: no such file"),
        (["--set", "margin=1", "--parallel", 0], "a whole number of at least 1"),
    ],
)
def test_invalid_input_is_refused_before_anything_starts(folder, words, message):
    assert message in refuse(folder, *words)
    assert sorted(path.name for path in folder.iterdir()) == ["params.json"]


# Trials


def test_a_grid_is_trained_and_compared(folder, monkeypatch):
    use_fakes(monkeypatch)
    out = search(folder, *SIX, "--parallel", 3, "--devices", "gpu:1,cpu")
    assert f"6 trials, 6 runs, compared by {METRIC}" in out
    rows = read_table(folder)
    assert [float(row["margin"]) for row in rows.values()] == [0.3, 0.3, 0.2, 0.2, 0.1, 0.1]
    for row in rows.values():
        assert float(row[METRIC]) == pytest.approx(float(row["margin"]) + 0.005)  # of the last of five steps
        assert (row["status"], row["step"], row["deviation"]) == ("done", "5", "")
    run = RunFolder(folder / "margin=0.2,learning_rate=0.0001,seed=0")
    params = run.load_params()
    assert (params.margin, params.learning_rate, params.seed, params.train_iterations) == (0.2, 1e-4, 0, 5)
    devices = [file.read_text().strip() for file in folder.glob("*/starts")]
    assert {"gpu:1", "cpu"} == set(devices)


def test_a_file_elsewhere_starts_a_search_and_random_draws_continue(folder, tmp_path, monkeypatch):
    use_fakes(monkeypatch)
    new = tmp_path / "new"
    words = ["--params", folder / "params.json", "--set", "margin=0:1", "--set", "metric=euclidean", "--trials"]
    search(new, *words, 2)
    first = read_table(new)
    assert not (new / "params.json").exists()
    search(new, *words[:-1])  # the default number
    assert starts(new) == 10
    assert first.items() <= read_table(new).items()
    assert list(first[1])[:3] == ["trial", "margin", "status"]  # a value that all trials share is not a column


def test_seeds_are_repetitions(folder, monkeypatch):
    use_fakes(monkeypatch)
    search(folder, "--set", "margin=0.1,0.2", "--devices", "gpu:0,gpu:1")  # both of them at once
    assert {file.read_text().strip() for file in folder.glob("*/starts")} == {"gpu:0", "gpu:1"}
    search(folder, "--set", "margin=0.1,0.2,0.3", "--seeds", 3, "--parallel", 4)  # more of both
    assert starts(folder) == 9
    for row in read_table(folder).values():
        values = [float(row["margin"]) + 0.005 + seed / 100 for seed in range(3)]
        assert float(row[METRIC]) == pytest.approx(statistics.mean(values))
        assert float(row["deviation"]) == pytest.approx(statistics.stdev(values))
        assert row["runs"] == "3"
    seeds = {RunFolder(file.parent).load_params().seed for file in folder.glob("*/DONE")}
    assert seeds == {0, 1, 2}


def test_another_search_in_its_folder_is_refused(folder, monkeypatch):
    use_fakes(monkeypatch)
    search(folder, "--set", "margin=0.1,0.2", "--seeds", 2)
    before = (folder / "search.json").read_bytes()
    assert "--set margin was 0.1,0.2, not 0.1,0.3" in refuse(folder, "--set", "margin=0.1,0.3", "--seeds", 2)
    assert "--set head was not given, not gem,direct" in refuse(
        folder, "--set", "margin=0.1,0.2", "--set", "head=gem,direct", "--seeds", 2
    )
    assert "--seeds was 2, not 1" in refuse(folder, "--set", "margin=0.1,0.2")
    assert "--method was grid, not random" in refuse(folder, "--set", "margin=0.1,0.2", "--trials", 2)
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | {"batch_k": 3}))
    assert "batch_k was not given, not 3" in refuse(folder, "--set", "margin=0.1,0.2", "--seeds", 2)
    assert (folder / "search.json").read_bytes() == before
    (folder / "search.json").write_text("[]")
    assert "not written by search_hyperparams.py" in refuse(folder, "--set", "margin=0.1,0.2")


def test_a_folder_with_other_parameters_is_not_changed(folder, monkeypatch):
    use_fakes(monkeypatch)
    other = folder / "margin=0.2,seed=0" / "params.json"
    other.parent.mkdir()
    other.write_text("{}")
    assert f"{other} exists and has other parameters" in refuse(folder, "--set", "margin=0.1,0.2")
    assert (other.read_text(), starts(folder)) == ("{}", 0)


def test_a_failed_run_is_reported_and_the_others_continue(folder, dataset, tmp_path, monkeypatch):
    """Repeating the command tries it again."""
    use_fakes(monkeypatch)
    monkeypatch.setattr("model.searching.plan.check_params", lambda values, source: loosened(values))
    monkeypatch.setattr("model.searching.trials.RunFolder.load_trained_params", lambda run: loosened({}, run))
    for starts_then in (3, 4):
        out = search(folder, "--set", 'margin=0.1,"fail",0.2')
        assert "margin=fail,seed=0: failed: the loss is nan at step 2" in out
        assert [row["status"] for row in read_table(folder).values()] == [
            "done",
            "done",
            "failed: the loss is nan at step 2",
        ]
        assert starts(folder) == starts_then


def test_an_evaluator_that_fails_ends_its_run(folder, monkeypatch):
    use_fakes(monkeypatch)
    search(folder, "--set", "margin=0.1,soft")  # the fake evaluator cannot add to it
    assert read_table(folder)[2]["status"].startswith("failed: TypeError: ")
    assert read_table(folder)[1]["status"] == "done"


def test_an_evaluator_that_waited_too_long_is_started_again(tmp_path, dataset, monkeypatch):
    use_fakes(monkeypatch)
    folder = make_search(tmp_path / "search", dataset, warmup_steps=15, eval_timeout_secs=0.01)
    search(folder, "--set", "margin=0.1,0.2", "--parallel", 2)
    assert [(row["status"], row["step"]) for row in read_table(folder).values()] == [("done", "5")] * 2


def loosened(values, run=None):
    """Unchecked parameters: `margin` may not be an arbitrary word."""
    from model.configuration.params import Params

    values = values or json.loads(run.params_json.read_text())
    return Params(**{key: value for key, value in values.items() if key != "margin"})


def test_hopeless_runs_are_pruned(folder, monkeypatch):
    use_fakes(monkeypatch)
    words = ["--set", "margin=0.5,0.6,0.7,0.05,0.9", "--seeds", 2, "--parallel", 5]  # the others overtake 0.05
    out = search(folder, *words, "--prune")
    assert "margin=0.05,seed=0: pruned (" in out
    rows = read_table(folder)
    assert list(rows) == [5, 3, 2, 1, 4]
    assert {row["status"] for number, row in rows.items() if number != 4} == {"done"}
    assert rows[4]["status"].startswith("pruned: 0.05")
    runs = [RunFolder(folder / f"margin=0.05,seed={seed}") for seed in (0, 1)]
    assert not any(run.done.exists() for run in runs)
    count = starts(folder)
    assert "resuming: 8 of 10 runs are done" in search(folder, *words, "--prune")  # the search knows which are pruned
    assert (starts(folder), read_table(folder)) == (count, rows)
    search(folder, *words)  # without --prune, they are trained to the end
    assert all(run.done.exists() for run in runs)
    assert {row["status"] for row in read_table(folder).values()} == {"done"}
