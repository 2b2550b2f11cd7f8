"""Memory and open files of a long training and its evaluator: they stay as they are after the first tenth."""

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.commands import start
from helpers.peak_memory import resident
from helpers.tiny import make_run

pytestmark = pytest.mark.slow
STEPS, EVALUATIONS, SETS = 5000, 200, ["val_eval", "query_gallery", "test"]
MEGABYTES = 15


class Sample(NamedTuple):
    """What a process holds at one moment, and how much of its work is done, from 0 to 1."""

    memory: float  # MB
    files: int
    share: float


def watch(processes, files):
    """Samples of the processes while they run, by name. `files` has, for each, one whose lines count its work."""
    samples = {name: [] for name in processes}
    while any(process.poll() is None for process in processes.values()):
        for name, process in processes.items():
            file, total = files[name]
            share = file.read_bytes().count(b"\n") / total if file.exists() else 0.0
            if process.poll() is None and 0.1 <= share < 1:
                held = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
                samples[name].append(Sample(resident(process.pid), held, share))
        time.sleep(0.5)
    return samples


def test_nothing_grows(dataset, tmp_path):
    options = {"train_iterations": STEPS, "save_checkpoints_steps": STEPS // EVALUATIONS, "save_summary_steps": 1}
    options |= {"keep_checkpoints": None, "eval_sets": SETS, "eval_timeout_secs": 600}
    run = make_run(tmp_path / "run", dataset, **options)
    with open(tmp_path / "output", "w") as output:
        words = {"stdout": output, "stderr": output}
        processes = {name: start(f"{name}.py", "--model_dir", run, **words) for name in ("train", "evaluate")}
        files = {"train": (run / "metrics.jsonl", STEPS)}
        files["evaluate"] = (run / "results.jsonl", (EVALUATIONS + 1) * len(SETS))
        samples = watch(processes, files)
    for name, process in processes.items():
        assert process.returncode == 0, (tmp_path / "output").read_text()[-3000:]
        early = [each for each in samples[name] if each.share < 0.2]
        late = [each for each in samples[name] if each.share >= 0.9]
        before, after = (statistics.median(each.memory for each in part) for part in (early, late))
        held = [min(each.files for each in part) for part in (early, late)]  # without those open for a moment
        print(f"{name}: {before:.1f} MB, then {after:.1f} MB; open files {held}")
        assert after - before < MEGABYTES, name
        assert held[0] == held[1], name
