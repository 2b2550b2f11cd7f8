"""Seconds from a command to what the user waits for: help, a refused parameter, the first step, the first evaluation.

    python -m benchmarks.start_up

Each command runs in its own process, on a small data set. The evaluator starts together with the training.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.input_pipeline import make_photographs
from dataset.formats.manifest import write_manifest
from runtime import plugins
from runtime.json_files import write_json

COMMON = {"image_size": 64, "batch_p": 4, "batch_k": 4, "train_iterations": 1, "eval_interval_secs": 0.1}
NETWORKS = {"basic": {"num_channels": [16, 32, 64, 128]}, "mobilenet_v2": {}}


LIMIT = "import of TensorFlow and Keras"


def series(repeats: int = 3) -> dict[str, list[float]]:
    """Seconds by what was waited for, a number for each repetition; also those of `LIMIT`."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        files, labels = make_photographs(data, 10, 5, (64, 64))
        rows = list(zip(labels, (Path(file).name for file in files), strict=True))
        for part in ("train", "test"):
            write_manifest(data / f"{part}.csv", rows)
        info = {"name": "noise", "origin": "noise", "licence": "none", "image_root": "."}
        write_json(data / "dataset.json", info | {"counts": {"train_images": len(files)}})
        for number in range(repeats):
            for model, given in NETWORKS.items():
                run = data / f"{model}-{number}"
                run.mkdir()
                write_json(run / "params.json", COMMON | given | {"dataset": name, "model_type": model})
                for what, seconds in _of_run(run).items():
                    found.setdefault(f"{model}, {what}", []).append(seconds)
            others = {
                "--help": ["train.py", "--help"],
                "refused parameter": ["train.py", "--model_dir", run, "--set", "margin=x"],
                LIMIT: ["-c", "import tensorflow, keras"],
            }
            for what, words in others.items():
                start = time.perf_counter()
                _start(*words).wait()
                found.setdefault(what, []).append(time.perf_counter() - start)
    return found


def _of_run(run: Path) -> dict[str, float]:
    """Seconds to the first step and to the first evaluated checkpoint of a run that starts now."""
    start, found = time.perf_counter(), {}
    files = {"first step": run / "metrics.jsonl", "first evaluation": run / "results.jsonl"}
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_start(f"{name}.py", "--model_dir", run)) for name in ("train", "evaluate")]
        while len(found) < len(files):
            if any(process.poll() for process in processes):
                raise RuntimeError(f"a command failed; repeat it: train.py, or evaluate.py, with --model_dir {run}")
            for what, file in files.items():
                if what not in found and file.exists() and file.stat().st_size:
                    found[what] = time.perf_counter() - start
            time.sleep(0.01)
    return found


def _start(*words: object) -> subprocess.Popen[bytes]:
    line = [sys.executable, *map(str, words)]
    return subprocess.Popen(line, cwd=plugins.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_up", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of each command (default: 3)")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error("--repeats must be at least 1")
    for what, seconds in series(args.repeats).items():
        print(f"{what:32}{statistics.median(seconds):8.2f} s")


if __name__ == "__main__":
    main()
