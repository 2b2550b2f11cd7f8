"""Four ways of feeding triplets to MobileNetV2 with the same budget: Recall@1 and mAP on Omniglot.

    python -m benchmarks.mobilenetv2_ways --dataset data/omniglot --weights WEIGHTS.weights.h5

takes network, sampling and loss of the recipes experiments/market1501_mobilenetv2_*, and in addition batch hard with
soft margin. It trains each from ImageNet weights on Omniglot (dataset.prepare.omniglot), with batch norm trained or
frozen and two learning rates, evaluates the last checkpoint on all test characters, and writes the table. To resume
after a stop, repeat the command: finished runs are skipped.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from runtime import plugins
from runtime.files import replace_file
from runtime.json_files import read_json, read_json_lines

ROOT = plugins.ROOT
# Each way: its recipe, and the parameters that differ from the recipe.
WAYS = {
    "basic: triples fixed before each epoch": ("basic", {}),
    "hard: batch hard on the cosine similarity": ("hard", {}),
    "semi-hard: plain batches": ("semihard", {}),
    "batch hard, soft margin": ("hard", {"margin": "soft", "metric": "euclidean"}),
}
# Each way is trained with each of these: whether batch norm is frozen, learning rate.
SETTINGS = ((False, 3e-4), (True, 3e-4), (True, 3e-5))
# These replace the images and the schedule of the recipes: small grey images, 72 per step.
DATA = {
    "image_size": 64,
    "image_channels": 1,
    "pre_crop_size": None,
    "augmentation": ["affine"],
    "scale_range": 0.15,
    "rotate_range": 15.0,
    "shear_range": 8.0,
}
SCHEDULE = {
    "learning_rate_schedule": "cosine",
    "warmup_steps": 60,
    "decay_start_step": 0,
    "save_summary_steps": 50,
    "save_checkpoints_steps": 10**6,
    "save_picture_steps": None,
    "best_metric": "test/map",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", type=Path, default=ROOT / "data" / "omniglot", help="prepared Omniglot")
    parser.add_argument("--weights", default="imagenet", help="ImageNet weights of MobileNetV2: a Keras weights file")
    parser.add_argument("--steps", type=int, default=300, help="steps of 72 images per run (default: 300)")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "mobilenetv2_ways", help="folder of the runs")
    parser.add_argument("--out", type=Path, default=ROOT / "experiments" / "mobilenetv2_ways" / "ways.md")
    args = parser.parse_args()

    settings = DATA | SCHEDULE | {"dataset": str(args.dataset.resolve()), "warm_start_from": args.weights}
    settings["train_iterations"] = args.steps
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = {}
    for frozen, rate in SETTINGS:
        for way, (recipe, differs) in WAYS.items():
            run = args.runs / f"{re.sub('[^a-z]+', '_', way)}-{'frozen' if frozen else 'trained'}-{rate:g}"
            params = read_json(ROOT / "experiments" / f"market1501_mobilenetv2_{recipe}" / "params.json")
            own = {"batch_norm": "frozen" if frozen else "train", "learning_rate": rate}
            train(run, params | differs | settings | own, untrained=(frozen, rate) == SETTINGS[0])
            done[way, frozen, rate] = run
            with replace_file(args.out) as file:
                file.write(page(done, args.steps))
            print(f"{args.out}: {run.name}", flush=True)


def train(run: Path, params: dict, *, untrained: bool) -> None:
    """Trains and evaluates one run with the commands of a user. Resumes a stopped run.

    Args:
        run: folder of the run.
        params: parameters of the run.
        untrained: also evaluate the network before its first step.
    """
    if (run / "params.json").exists() and read_json(run / "params.json") != params:
        sys.exit(f"error: {run} was started with other settings; give another --runs, or delete it")
    if (run / "evaluated").exists():
        return
    run.mkdir(parents=True, exist_ok=True)
    (run / "params.json").write_text(json.dumps(params, indent=2))
    began = time.monotonic()
    once = [] if untrained else ["--once"]
    for line in (["train.py"], ["evaluate.py", *once]):
        command = [sys.executable, line[0], "--model_dir", str(run), *line[1:]]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (run / "evaluated").write_text(f"{time.monotonic() - began:.0f}\n")


def metric_cells(run: Path, step: int) -> str:
    """Recall@1, Recall@8 and mAP of one checkpoint as cells of the table."""
    (metrics,) = [line["metrics"] for line in read_json_lines(run / "results.jsonl") if line["step"] == step]
    return " | ".join(f"{100 * metrics[name]:.1f}" for name in ("recall@1", "recall@8", "map"))


def alarm(run: Path) -> str:
    """The states that the collapse alarm logged for a run, or "none"."""
    log = (run / "train.log").read_text(encoding="utf-8")
    said = re.findall(r"(?:warning|note): (collapsed|diverged|no triplets|no active triplets)", log)
    return ", ".join(dict.fromkeys(said)) or "none"


def page(runs: dict[tuple[str, bool, float], Path], steps: int) -> str:
    """The page with the table: each way before training, then with each of SETTINGS."""
    lines = [
        "# Four ways of feeding triplets to MobileNetV2",
        "",
        "[README.md](README.md) discusses these results.",
        "",
        f"MobileNetV2 from ImageNet weights on Omniglot's 964 background characters at 64x64: {steps} steps of 72",
        f"images ({72 * steps:,}) for every run, a warm-up of {SCHEDULE['warmup_steps']} steps, then cosine;",
        "one random seed. Network, sampling and loss are those of the recipes `market1501_mobilenetv2_*`; the fourth",
        "way is `hard` with the soft margin on euclidean distances. Test: all 13 180 images of 659 other",
        "characters, each against all others, in percent. The",
        "backbone's batch norm is trained or frozen (`batch_norm`). The loss is that of",
        "the first and the last batch. The distances are means of the hardest positives and negatives in the last",
        "batch, in the distance and scale of each way.",
        "",
        "```",
        "python -m benchmarks.mobilenetv2_ways --dataset data/omniglot --weights WEIGHTS.weights.h5",
        "```",
        "",
        "| way | batch norm | learning rate | Recall@1 | Recall@8 | mAP | loss | hardest pos. / neg. | alarm |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        if (way, *SETTINGS[0]) in runs:
            before = metric_cells(runs[(way, *SETTINGS[0])], 0)
            lines.append(f"| {way}; ImageNet weights, untrained head | | | {before} | | | |")
        for (name, frozen, rate), run in runs.items():
            if name == way:
                first, *_, last = read_json_lines(run / "metrics.jsonl")
                cells = f"{first['triplet_loss']:.3f}, {last['triplet_loss']:.3f} | "
                cells += f"{last['hardest_positive']:.2g} / {last['hardest_negative']:.2g} | {alarm(run)}"
                batch_norm = "frozen" if frozen else "trained"
                lines.append(f"| {way} | {batch_norm} | {rate:g} | {metric_cells(run, steps)} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
