"""What several test files use: a tiny data set, a finished run on it, and real data."""

import logging
import os
import shutil
import signal
from pathlib import Path

import pytest
from helpers.commands import ROOT, command
from helpers.tiny import make_dataset, make_run

from model.run.run_folder import RunFolder

# Commands run within this process as well: on the CPU, whose results are the same everywhere.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# A shell lets what it starts in the background ignore Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
# TensorFlow warns, when a test session ends, of every checkpoint that was refused in it.
logging.getLogger("tensorflow").setLevel(logging.ERROR)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prepared data set that nobody changes."""
    return make_dataset(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture
def own_dataset(tmp_path: Path) -> Path:
    """A tiny prepared data set that the test may damage."""
    return make_dataset(tmp_path / "own data")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    """A finished run, made by train.py, that nobody changes."""
    run = make_run(tmp_path_factory.mktemp("runs") / "trained", dataset)
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> RunFolder:
    """A copy of the finished run, of which nothing is evaluated."""
    for part in ("eval", "best", "results.jsonl", "best.json"):
        assert not (trained / part).exists()
    return RunFolder(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data next to the project, or the one that TRIPLET_DATA names; skips without it."""
    folder = Path(os.environ.get("TRIPLET_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set TRIPLET_DATA to its folder")
    return folder
