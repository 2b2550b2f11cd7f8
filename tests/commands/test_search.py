"""search_hyperparams.py from end to end, on runs that `fake_commands` make; the last test, on real ones."""

import csv
import json
import os
import signal
import statistics
import subprocess
import time

import pytest
from helpers.commands import command, start, wait_for
from helpers.searches import kill_with_children, make_search, start_search, starts, use_fakes
from helpers.tiny import make_run

from model.run.run_folder import RunFolder
from runtime.errors import UserError

METRIC = "val_eval/general_accuracy"
SIX = ["--set", "margin=0.1,0.2,0.3", "--set", "learning_rate=1e-3,1e-4"]


def search(folder, *words):
    done = command("search_hyperparams.py", "--parent_dir", folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(folder, *words):
    done = command("search_hyperparams.py", "--parent_dir", folder, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stdout + done.stderr
    return done.stderr


def table(folder):
    """The rows of table.csv by trial."""
    with open(folder / "table.csv", newline="") as file:
        return {int(row["trial"]): row for row in csv.DictReader(file)}


def kill_when_at_work(folder, done, kill, *words):
    """Starts a search, and kills it when `done` runs have ended and others are at work."""
    with start_search(folder, *words) as process:
        wait_for(lambda: len(list(folder.glob("*/DONE"))) >= done and starts(folder) > done, process)
        kill(process)


@pytest.fixture
def folder(tmp_path, dataset):
    return make_search(tmp_path / "search", dataset)


# What may be searched


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "magin=1,2"], "unknown parameter 'magin'; did you mean 'margin'"),
        (["--set", "margin=1,2", "--set", "batch_k=4,0"], "batch_k is 0; it must be integer >= 2"),
        (["--set", "learning_rate=-1:1", "--trials", 3], "learning_rate is -1"),
        (["--set", "batch_k=0.5:4", "--method", "optuna", "--trials", 3], "batch_k is 0.5"),
        (
            ["--set", "triplet_strategy=batch_hard,basic"],
            "--set triplet_strategy=basic: triplet_strategy 'basic' scores",
        ),
        (["--set", "margin=0:1"], "--trials N is needed"),
        (["--set", "margin=0:1", "--method", "grid"], "margin is a range"),
        (["--set", "margin=1,2", "--method", "grid", "--trials", 3], "grid tries all combinations"),
        (["--set", "seed=1,2"], "give --seeds N instead"),
        (["--set", "best_metric=val_eval/easy_accuracy,auto"], "trials are compared by one metric"),
        (["--set", "best_metric=val_eval/nope"], "that set has"),
        (["--set", "dataset=nothing"], "python -m dataset.prepare"),
        (["--set", "eval_run_once=true"], "every checkpoint of a search is evaluated"),
        (["--set", 'eval_sets=["test"],["val_eval"]'], "trials would be compared by test/map and by val_eval/general"),
        (["--devices", "gpu:0,tpu"], "--devices 'tpu': it must be auto, cpu, gpu or gpu:N"),
        (["--params", "gone.json"], "gone.json: no such file"),
        (["--set", "margin=1", "--parallel", 0], "a whole number of at least 1"),
    ],
)
def test_mistakes_are_answered_before_anything_starts(folder, words, message):
    assert message in refused(folder, *words)
    assert sorted(path.name for path in folder.iterdir()) == ["params.json"]


# What is done


def test_a_grid_is_trained_and_compared(folder, monkeypatch):
    use_fakes(monkeypatch)
    out = search(folder, *SIX, "--parallel", 3, "--devices", "gpu:1,cpu")
    assert f"6 trials, 6 runs, compared by {METRIC}" in out
    rows = table(folder)
    assert [float(row["margin"]) for row in rows.values()] == [0.3, 0.3, 0.2, 0.2, 0.1, 0.1]
    for row in rows.values():
        assert float(row[METRIC]) == pytest.approx(float(row["margin"]) + 0.005)  # of the last of five steps
        assert (row["status"], row["step"], row["deviation"]) == ("done", "5", "")
    run = RunFolder(folder / "margin=0.2,learning_rate=0.0001,seed=0")
    params = run.load_params()
    assert (params.margin, params.learning_rate, params.seed, params.train_iterations) == (0.2, 1e-4, 0, 5)
    devices = [file.read_text().strip() for file in folder.glob("*/starts")]
    assert {"gpu:1", "cpu"} == set(devices)


def test_a_file_elsewhere_starts_a_search_and_random_draws_go_on(folder, tmp_path, monkeypatch):
    use_fakes(monkeypatch)
    new = tmp_path / "new"
    words = ["--params", folder / "params.json", "--set", "margin=0:1", "--set", "metric=euclidean", "--trials"]
    search(new, *words, 2)
    first = table(new)
    assert not (new / "params.json").exists()
    search(new, *words, 3)
    assert starts(new) == 3
    assert first.items() <= table(new).items()
    assert list(first[1])[:3] == ["trial", "margin", "status"]  # what is the same for all is no column


def test_seeds_are_repetitions(folder, monkeypatch):
    use_fakes(monkeypatch)
    search(folder, "--set", "margin=0.1,0.2")
    search(folder, "--set", "margin=0.1,0.2,0.3", "--seeds", 3, "--parallel", 4)  # more of both
    assert starts(folder) == 9
    for row in table(folder).values():
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
    assert "--set margin was 0.1,0.2, not 0.1,0.3" in refused(folder, "--set", "margin=0.1,0.3", "--seeds", 2)
    assert "--set head was not given, not gem,direct" in refused(
        folder, "--set", "margin=0.1,0.2", "--set", "head=gem,direct", "--seeds", 2
    )
    assert "--seeds was 2, not 1" in refused(folder, "--set", "margin=0.1,0.2")
    assert "--method was grid, not random" in refused(folder, "--set", "margin=0.1,0.2", "--trials", 2)
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | {"batch_k": 3}))
    assert "batch_k was not given, not 3" in refused(folder, "--set", "margin=0.1,0.2", "--seeds", 2)
    assert (folder / "search.json").read_bytes() == before
    (folder / "search.json").write_text("[]")
    assert "it is not the record of a search" in refused(folder, "--set", "margin=0.1,0.2")


def test_a_folder_with_other_parameters_is_not_touched(folder, monkeypatch):
    use_fakes(monkeypatch)
    other = folder / "margin=0.2,seed=0" / "params.json"
    other.parent.mkdir()
    other.write_text("{}")
    assert f"{other} exists and has other parameters" in refused(folder, "--set", "margin=0.1,0.2")
    assert (other.read_text(), starts(folder)) == ("{}", 0)


def test_what_fails_is_told_and_the_others_go_on(folder, dataset, tmp_path, monkeypatch):
    """And it is tried again, when the command is."""
    use_fakes(monkeypatch)
    monkeypatch.setattr("model.searching.plan.check_params", lambda values, source: loosened(values))
    monkeypatch.setattr("model.searching.trials.RunFolder.load_trained_params", lambda run: loosened({}, run))
    for starts_then in (3, 4):
        out = search(folder, "--set", 'margin=0.1,"fail",0.2')
        assert "margin=fail,seed=0: failed: the loss is nan at step 2" in out
        assert [row["status"] for row in table(folder).values()] == [
            "done",
            "done",
            "failed: the loss is nan at step 2",
        ]
        assert starts(folder) == starts_then


def test_an_evaluator_that_fails_ends_its_run(folder, monkeypatch):
    use_fakes(monkeypatch)
    search(folder, "--set", "margin=0.1,soft")  # to which the stand-in cannot add
    assert table(folder)[2]["status"].startswith("failed: TypeError: ")
    assert table(folder)[1]["status"] == "done"


def test_an_evaluator_that_waited_too_long_is_started_again(tmp_path, dataset, monkeypatch):
    use_fakes(monkeypatch)
    folder = make_search(tmp_path / "search", dataset, warmup_steps=15, eval_timeout_secs=0.01)
    search(folder, "--set", "margin=0.1,0.2", "--parallel", 2)
    assert [(row["status"], row["step"]) for row in table(folder).values()] == [("done", "5")] * 2


def loosened(values, run=None):
    """Parameters that are not checked, as `margin` may be no word."""
    from model.configuration.params import Params

    values = values or json.loads(run.params_json.read_text())
    return Params(**{key: value for key, value in values.items() if key != "margin"})


def test_hopeless_runs_are_pruned(folder, monkeypatch):
    use_fakes(monkeypatch)
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | {"warmup_steps": 20}))
    words = ["--set", "margin=0.5,0.6,0.7,0.1,0.9", "--seeds", 2, "--parallel", 5]
    out = search(folder, *words, "--prune")
    assert "margin=0.1,seed=0: pruned (" in out
    rows = table(folder)
    assert list(rows) == [5, 3, 2, 1, 4]
    assert {row["status"] for number, row in rows.items() if number != 4} == {"done"}
    assert rows[4]["status"].startswith("pruned: 0.1")
    runs = [RunFolder(folder / f"margin=0.1,seed={seed}") for seed in (0, 1)]
    assert not any(run.done.exists() for run in runs)
    count = starts(folder)
    search(folder, *words, "--prune")  # it knows
    assert (starts(folder), table(folder)) == (count, rows)
    search(folder, *words)  # without, they are trained to the end
    assert all(run.done.exists() for run in runs)
    assert {row["status"] for row in table(folder).values()} == {"done"}


# Stopped in between


@pytest.mark.parametrize(
    "words",
    [
        [*SIX, "--seeds", "2", "--parallel", "3"],
        [
            "--set",
            "margin=0:1",
            "--set",
            "learning_rate=log:1e-5:1e-2",
            "--method",
            "optuna",
            "--trials",
            "13",
            "--parallel",
            "2",
        ],
    ],
)
def test_killed_twice_and_resumed_it_ends_the_same(folder, dataset, tmp_path, words, monkeypatch):
    use_fakes(monkeypatch)
    slow = make_search(tmp_path / "slow", dataset)
    for number, kill in ((2, subprocess.Popen.kill), (5, kill_with_children)):
        kill_when_at_work(slow, number, kill, *words)
    search(slow, *words)
    search(folder, *words)
    for name in ("table.csv", "table.md"):
        assert (slow / name).read_bytes() == (folder / name).read_bytes()
    runs = len(list(folder.glob("*/DONE")))
    assert runs < starts(slow) <= runs + 6  # what was at work, but nothing that was done, was started again
    assert starts(folder) == runs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_trainings_end_with_their_search(tmp_path, dataset, number):
    """By Ctrl-C, after which nothing is at work any more; and soon after the search is killed."""
    folder = make_search(tmp_path / "search", dataset, warmup_steps=30)
    with start_search(folder, *SIX, "--parallel", 2) as process:
        wait_for(lambda: len(list(folder.glob("*/results.jsonl"))) == 2, process)
        os.killpg(process.pid, number)
        assert process.wait(60) == (130 if number == signal.SIGINT else -number)
    runs = [RunFolder(file.parent) for file in folder.glob("*/starts")]
    if number == signal.SIGKILL:
        wait_for(lambda: not any(is_at_work(run) for run in runs))
    assert [(is_at_work(run), run.done.exists()) for run in runs] == [(False, False)] * 2
    for run in runs:  # a second signal would keep a training from saving
        assert (run.folder / "signals").read_text() == "SIGTERM\n"
    if number == signal.SIGINT:
        assert {row["status"] for row in table(folder).values()} == {"unfinished"}


def test_a_run_that_is_at_work_is_waited_for(folder):
    """As after a search that was killed where the system does not end its trainings."""
    busy, other = (RunFolder(folder / f"margin={margin},seed=0") for margin in (0.1, 0.2))
    busy.folder.mkdir()
    with start_search(folder, "--set", "margin=0.1,0.2", "--parallel", 2) as process:
        with busy.lock("train"):
            wait_for(other.done.exists, process)
            time.sleep(0.2)
            assert (process.poll(), starts(folder)) == (None, 1)
        assert process.wait(60) == 0
    assert {row["status"] for row in table(folder).values()} == {"done"}


def is_at_work(run):
    try:
        with run.lock("train"), run.lock("evaluate"):
            return False
    except UserError:
        return True


def test_two_searches_do_not_share_a_folder(tmp_path, dataset):
    folder = make_search(tmp_path / "search", dataset, warmup_steps=30)
    with start_search(folder, *SIX) as process:
        wait_for(lambda: starts(folder) > 0, process)
        assert "another search_hyperparams.py is at work" in refused(folder, *SIX)
        process.terminate()
        assert process.wait(60) == 130


@pytest.mark.slow
def test_real_runs_killed_twice_and_resumed(tmp_path, dataset):
    """Six short trainings with their evaluators: the search is killed alone, and then with them."""
    words = ["--set", "margin=0.2,soft,1.0", "--seeds", "2", "--parallel", "2", "--devices", "cpu"]
    whole, part = (
        make_run(tmp_path / name, dataset, deterministic=True, eval_pictures=False) for name in ("whole", "part")
    )
    search(whole, *words)
    for number, kill in ((1, subprocess.Popen.kill), (3, kill_with_children)):
        with start("search_hyperparams.py", "--parent_dir", part, *words) as process:
            wait_for(lambda: len(list(part.glob("*/DONE"))) >= number, process)  # noqa: B023 -- called in this round
            time.sleep(0.5)
            kill(process)
    search(part, *words)
    assert (part / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()
    assert (part / "table.md").read_bytes() == (whole / "table.md").read_bytes()
    assert {row["status"] for row in table(whole).values()} == {"done"}
