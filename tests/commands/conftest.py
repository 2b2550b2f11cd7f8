"""A finished run with results, for tests of commands that use one."""

import shutil
from pathlib import Path

import pytest
from helpers.commands import command


@pytest.fixture(scope="session")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with results."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "a run"))
    done = command("evaluate.py", "--model_dir", run, "--once")
    assert done.returncode == 0, done.stderr
    return run
