"""Several trainings, each as `train.py` with words of its own."""

import json
from pathlib import Path

from helpers.commands import Done, command


def train_several(*runs: Path | list[object]) -> list[Done]:
    """Trains each run, one after the other: a folder, or a list of a folder and options."""
    return [command("train.py", "--model_dir", *(run if isinstance(run, list) else [run])) for run in runs]


def setting(**values: object) -> list[str]:
    """Overrides as words of the command line."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={json.dumps(value)}")]
