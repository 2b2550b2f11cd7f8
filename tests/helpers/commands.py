"""Commands, as a user gives them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def command(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS` in the project's folder, as a user would."""
    line = [sys.executable, *map(str, words)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment(), **options)


def environment() -> dict[str, str]:
    """The environment of commands: one that works without a terminal and without a GPU."""
    return os.environ | {"PYTHONUNBUFFERED": "1", "CUDA_VISIBLE_DEVICES": "-1"}
