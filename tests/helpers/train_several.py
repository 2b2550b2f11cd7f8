"""Several trainings in one process, each as `train.py` with words of its own: TensorFlow is imported only once."""

import json
from pathlib import Path
from typing import NamedTuple

from helpers.commands import command

_PROGRAM = """
import json, sys, traceback
import train
from runtime.errors import exit_code
for words in json.loads(sys.argv[1]):
    try:
        code = exit_code(lambda: train.main(["--model_dir", *words]))
    except Exception:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        print(f"END {code}", file=stream, flush=True)
"""


class Trained(NamedTuple):
    """What became of a training."""

    code: int
    stdout: str
    stderr: str


def train_several(*runs: Path | list[object]) -> list[Trained]:
    """Trains each run, one after the other: a folder, or a list of a folder and options."""
    words = [list(map(str, run)) if isinstance(run, list) else [str(run)] for run in runs]
    done = command("-c", _PROGRAM, json.dumps(words))
    assert done.returncode == 0, done.stderr
    stdout, stderr = (stream.split("END ") for stream in (done.stdout, done.stderr))
    results = []
    for number in range(len(runs)):  # before each part stands the exit code of the training before it
        said = [part[number] if number == 0 else part[number].partition("\n")[2] for part in (stdout, stderr)]
        results.append(Trained(int(stdout[number + 1].partition("\n")[0]), *said))
    return results


def setting(**values: object) -> list[str]:
    """Overrides as words of the command line."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={json.dumps(value)}")]
