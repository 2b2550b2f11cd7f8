"""What the training loop adds to a step of about 5 ms: `train` against bare loops over the same compiled step.

    python -m benchmarks.training_loop

Blocks of steps take turns in one process: `train` with its log, events and heartbeat; a bare loop that is fed by the
same input; a bare loop over batches in memory, which costs no input at all. On a CPU, the input takes its share of the
processor from the step: only the first ratio is about the loop.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.input_pipeline import make_photographs
from dataset.formats.manifest import write_manifest
from dataset.loading.training_set import load_training_set
from model.configuration.loading import check_params
from model.run.devices import prepare
from model.run.heartbeat import Heartbeat
from model.run.run_folder import RunFolder
from runtime.json_files import write_json
from runtime.log import Log

BLOCK = 200  # steps: four lines of the log
PAUSE = 0.5  # seconds before each turn, in which inputs prepare their next batches: else one pays for another's
PARAMS = {
    "image_size": 32,
    "batch_p": 8,
    "batch_k": 4,
    "num_channels": [8],
    "embedding_size": 32,
    "augmentation": [],
    "image_cache": "decoded",
    "save_checkpoints_steps": 10**6,
    "save_picture_steps": None,
}


class Turns(Heartbeat):
    """Told about every step of a training; after each block of it, the other loops have their turn."""

    def __init__(self, run: RunFolder, log: Log, others: dict[str, Callable[[], None]]) -> None:
        super().__init__(run, "train", log)
        self.others, self.seconds = others, {name: [] for name in ("train", *others)}
        self.since = 0.0

    def finished(self, what: str, **values: Any) -> None:
        super().finished(what, **values)
        if values["step"] % BLOCK:
            return
        now = time.perf_counter()
        if values["step"] > BLOCK:  # the first block compiles
            self.seconds["train"].append(now - self.since)
            turns = list(self.others.items())
            for name, loop in turns if values["step"] // BLOCK % 2 else reversed(turns):
                time.sleep(PAUSE)
                start = time.perf_counter()
                loop()
                self.seconds[name].append(time.perf_counter() - start)
        time.sleep(PAUSE)
        self.since = time.perf_counter()


def measure(rounds: int = 7) -> dict[str, float]:
    """Milliseconds per step of `train`, `fed` and `in memory`, medians; of the ratios of their speeds in each round,
    the median, and as "least" and "most" the extremes.
    """
    prepare("auto")
    from model.training.cluster import Cluster
    from model.training.curriculum import phase_at
    from model.training.learner import build_learner
    from model.training.loop import feed, train

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = check_params(PARAMS | {"dataset": name, "train_iterations": (rounds + 1) * BLOCK}, "benchmark")
        files, labels = make_photographs(folder, 40, 5, params.image_shape)
        write_manifest(
            folder / "train.csv", [(label, Path(file).name) for label, file in zip(labels, files, strict=True)]
        )
        info = {"name": "noise", "origin": "noise", "licence": "none", "image_root": "."}
        write_json(folder / "dataset.json", info | {"counts": {"train_images": len(files)}})
        run = RunFolder(folder / "run")
        run.check_writable(run.checkpoints, run.train_events)
        data, cluster, phase = load_training_set(params), Cluster(params), phase_at(params, 0)
        learner = build_learner(params, data, 10**6, cluster, imagenet=False)
        batches = feed(cluster, data, params, 0, 10**6, None)
        kept = itertools.cycle([next(batches) for _ in range(20)])

        def bare(batches: Any) -> Callable[[], None]:
            def loop() -> None:
                for step, (images, labels, _) in zip(range(BLOCK), batches, strict=False):
                    result = learner.train_step(images, labels, step, phase)
                result.scalars.numpy()  # waits for the device

            return loop

        others = {"fed": bare(batches), "in memory": bare(kept)}
        others["in memory"]()  # compiles
        log = Log(run.train_log)
        turns = Turns(run, log, others)
        train(run, params, data, log, cluster, beat=turns)
    found = {loop: statistics.median(seconds) / BLOCK * 1e3 for loop, seconds in turns.seconds.items()}
    for other in others:
        ratios = [bare / ours for ours, bare in zip(turns.seconds["train"], turns.seconds[other], strict=True)]
        found[f"train / {other}"] = statistics.median(ratios)
        found |= {f"train / {other}, least": min(ratios), f"train / {other}, most": max(ratios)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_loop", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="blocks of 200 steps of each loop (default: 7)")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    for name, value in measure(args.rounds).items():
        print(f"{name:28}{value:10.3f}{'' if '/' in name else ' ms per step'}")


if __name__ == "__main__":
    main()
