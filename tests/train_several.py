"""Several trainings in one process, each as `train.py` with words of its own: TensorFlow is imported only once."""

import json
from pathlib import Path
from typing import NamedTuple

from conftest import command

_PROGRAM = """
import json, sys
if int(sys.argv[1]) > 1:
    import tensorflow as tf
    devices = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1])
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
import train
from dataset.errors import exit_code
for words in json.loads(sys.argv[2]):
    code = exit_code(lambda: train.main(["--model_dir", *words]))
    for stream in (sys.stdout, sys.stderr):
        print(f"END {code}", file=stream, flush=True)
"""


class Trained(NamedTuple):
    """What became of a training."""

    code: int
    stdout: str
    stderr: str


def train_several(*runs: Path | list[object], devices: int = 1) -> list[Trained]:
    """Trains each run, a folder or a list of a folder and options; with two devices, these are parts of the CPU."""
    words = [list(map(str, run)) if isinstance(run, list) else [str(run)] for run in runs]
    done = command("-c", _PROGRAM, devices, json.dumps(words))
    assert done.returncode == 0, done.stderr
    stdout, stderr = (stream.split("END ") for stream in (done.stdout, done.stderr))
    results = []
    for number in range(len(runs)):  # before each part stands the exit code of the training before it
        said = [part[number] if number == 0 else part[number].partition("\n")[2] for part in (stdout, stderr)]
        results.append(Trained(int(stdout[number + 1].partition("\n")[0]), *said))
    return results
