"""An evaluated run."""

import shutil
from pathlib import Path

import pytest

from model.evaluation.evaluator import evaluate_all
from model.run.run_folder import RunFolder
from runtime.log import Log


@pytest.fixture(scope="session")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A copy of the finished run with all checkpoints evaluated. Tests must not change it."""
    run = RunFolder(shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "run"))
    evaluate_all(run, run.load_trained_params(), Log())
    return run


@pytest.fixture
def own_evaluated(evaluated: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy that a test may change."""
    return RunFolder(shutil.copytree(evaluated.folder, tmp_path / "evaluated"))
