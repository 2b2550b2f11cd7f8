"""What the tests of the evaluator use: a run that has nothing evaluated."""

import shutil

import pytest

from model.run.run_folder import RunFolder


@pytest.fixture
def run(trained, tmp_path) -> RunFolder:
    """A copy of a trained run with nothing evaluated."""
    for part in ("eval", "best", "results.jsonl", "best.json"):
        assert not (trained / part).exists()
    return RunFolder(shutil.copytree(trained, tmp_path / "run"))
