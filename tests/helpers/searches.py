"""Searches with runs of `fake_commands`, which take tenths of a second."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest
from helpers.commands import ROOT, command, start

from model.searching import processes, scheduler

FAKES = ROOT / "tests" / "helpers" / "fake_commands"
_CODE = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
from model.searching import processes, scheduler
processes.SCRIPTS, scheduler._INTERVAL = Path(sys.argv.pop(1)), 0.02
import search_hyperparams
sys.exit(search_hyperparams.exit_code(search_hyperparams.main))
"""


def make_search(folder: Path, dataset: Path, **params: object) -> Path:
    """A folder with the params.json of a search. `warmup_steps` is the time of a fake step in 1/100 s."""
    folder.mkdir(parents=True)
    fixed = {"dataset": str(dataset), "eval_sets": ["val_eval"], "train_iterations": 5, "warmup_steps": 0}
    fixed |= {"metric": "euclidean", "save_checkpoints_steps": 1}
    (folder / "params.json").write_text(json.dumps(fixed | params))
    return folder


def use_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SCRIPTS", FAKES)
    monkeypatch.setattr(scheduler, "_INTERVAL", 0.02)


def start_search(folder: Path, *words: object):
    """A search in its own process, which leads a process group as on a terminal."""
    return start("-c", _CODE, FAKES, "--parent_dir", folder, *words, start_new_session=True)


def kill_with_children(process) -> None:
    """Ends a search, its trainings and its evaluators at once, as a power failure would."""
    process.send_signal(signal.SIGSTOP)  # or it would see them end
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    process.kill()


def starts(folder: Path) -> int:
    """How often a training was started in the runs of a search."""
    return sum(len(file.read_text().splitlines()) for file in folder.glob("*/starts"))


def search(folder: Path, *words: object) -> str:
    """The output of a search, which must succeed."""
    done = command("search_hyperparams.py", "--parent_dir", folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refuse(folder: Path, *words: object) -> str:
    """The error of a search, which must be one line."""
    done = command("search_hyperparams.py", "--parent_dir", folder, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stdout + done.stderr
    return done.stderr


def read_table(folder: Path) -> dict[int, dict[str, str]]:
    """The rows of table.csv by trial."""
    with open(folder / "table.csv", newline="") as file:
        return {int(row["trial"]): row for row in csv.DictReader(file)}
