"""Searches that are stopped, killed and resumed, on runs made by `fake_commands`; the last test uses real runs."""

import os
import signal
import subprocess
import time

import pytest
from helpers.commands import start, wait_for
from helpers.searches import (
    kill_with_children,
    make_search,
    read_table,
    refuse,
    search,
    start_search,
    starts,
    use_fakes,
)
from helpers.tiny import make_run

from model.run.run_folder import RunFolder
from runtime.errors import UserError

SIX = ["--set", "margin=0.1,0.2,0.3", "--set", "learning_rate=1e-3,1e-4"]


def kill_when_at_work(folder, done, kill, *words):
    """Starts a search, and kills it when `done` runs have ended and others are running."""
    with start_search(folder, *words) as process:
        wait_for(lambda: len(list(folder.glob("*/DONE"))) >= done and starts(folder) > done, process)
        kill(process)


@pytest.fixture
def folder(tmp_path, dataset):
    return make_search(tmp_path / "search", dataset)


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
def test_killed_twice_and_resumed_it_ends_with_the_same_table(folder, dataset, tmp_path, words, monkeypatch):
    use_fakes(monkeypatch)
    slow = make_search(tmp_path / "slow", dataset)
    for number, kill in ((2, subprocess.Popen.kill), (5, kill_with_children)):
        kill_when_at_work(slow, number, kill, *words)
    search(slow, *words)
    search(folder, *words)
    for name in ("table.csv", "table.md"):
        assert (slow / name).read_bytes() == (folder / name).read_bytes()
    runs = len(list(folder.glob("*/DONE")))
    assert runs < starts(slow) <= runs + 6  # running runs were started again, finished ones were not
    assert starts(folder) == runs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_trainings_end_with_their_search(tmp_path, dataset, number):
    """Ctrl-C returns after they have ended; after a kill of the search, they end soon."""
    folder = make_search(tmp_path / "search", dataset, warmup_steps=30)
    with start_search(folder, *SIX, "--parallel", 2) as process:
        wait_for(lambda: len(list(folder.glob("*/results.jsonl"))) == 2, process)
        os.killpg(process.pid, number)
        assert process.wait(60) == (130 if number == signal.SIGINT else -number)
        said = process.stdout.read() if number == signal.SIGINT else ""
    runs = [RunFolder(file.parent) for file in folder.glob("*/starts")]
    if number == signal.SIGKILL:
        wait_for(lambda: not any(is_at_work(run) for run in runs))
    assert [(is_at_work(run), run.done.exists()) for run in runs] == [(False, False)] * 2
    for run in runs:  # a second signal would prevent a training from saving
        assert (run.folder / "signals").read_text() == "SIGTERM\n"
    if number == signal.SIGINT:
        assert {row["status"] for row in read_table(folder).values()} == {"unfinished"}
        assert "stopping: the trainings save and end\n" in said
        assert "0 of 6 runs are done; run the same command again to resume\n" in said


def test_a_run_that_is_at_work_is_waited_for(folder):
    """As after a killed search, on a system that does not end its trainings."""
    busy, other = (RunFolder(folder / f"margin={margin},seed=0") for margin in (0.1, 0.2))
    busy.folder.mkdir()
    with start_search(folder, "--set", "margin=0.1,0.2", "--parallel", 2) as process:
        with busy.lock("train"):
            wait_for(other.done.exists, process)
            time.sleep(0.2)
            assert (process.poll(), starts(folder)) == (None, 1)
        assert process.wait(60) == 0
    assert {row["status"] for row in read_table(folder).values()} == {"done"}


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
        assert "another search_hyperparams.py is" in refuse(folder, *SIX)
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
    assert {row["status"] for row in read_table(whole).values()} == {"done"}
