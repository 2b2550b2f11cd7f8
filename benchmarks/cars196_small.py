"""Descriptors and losses with equal budgets: Recall@1, 2, 4, 8 and MAP@R on the test classes of Cars196.

    python -m benchmarks.cars196_small --dataset data/cars196_small --weights WEIGHTS.weights.h5

trains the recipe experiments/cars196_small and variations of it, evaluates the last checkpoint of each, and writes the
table. To resume after a stop, repeat the command: finished runs are skipped.
"""

import argparse
import re
from pathlib import Path

from benchmarks.mobilenetv2_ways import alarm, train
from runtime import plugins
from runtime.files import replace_file
from runtime.json_files import read_json, read_json_lines

ROOT = plugins.ROOT
RECIPE = ROOT / "experiments" / "cars196_small"
# The parameters of each row that differ from the recipe.
ROWS = {
    "SG (the recipe)": {},
    "S": {"descriptors": "S"},
    "SMG": {"descriptors": "SMG"},
    "SG, classification weight 1": {"classification_weight": 1.0},
    "SG, weight 1, HAP2S_P": {"classification_weight": 1.0, "triplet_strategy": "hap2s_p"},
    "SG, weight 1, batch hard": {"classification_weight": 1.0, "triplet_strategy": "batch_hard"},
}
METRICS = ("recall@1", "recall@2", "recall@4", "recall@8", "map@r")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", type=Path, default=ROOT / "data" / "cars196_small", help="prepared data set")
    parser.add_argument("--weights", default="imagenet", help="ImageNet weights of MobileNetV2: a Keras weights file")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "cars196_small", help="folder of the runs")
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help="rows (default: all)"
    )
    parser.add_argument("--out", type=Path, default=RECIPE / "table.md")
    args = parser.parse_args()

    settings = {"dataset": str(args.dataset.resolve()), "warm_start_from": args.weights}
    for row in args.rows:
        params = read_json(RECIPE / "params.json") | ROWS[row] | settings
        train(_run(args.runs, row), params, untrained=row == next(iter(ROWS)))
        with replace_file(args.out) as file:
            file.write(page(args.runs))
        print(f"{args.out}: {row}", flush=True)


def page(runs: Path) -> str:
    """The page with a table of the finished rows."""
    recipe = read_json(RECIPE / "params.json")
    images = recipe["train_iterations"] * recipe["batch_p"] * recipe["batch_k"]
    lines = [
        "# Descriptors and losses on Cars196 at 128x96, with one budget",
        "",
        "[README.md](README.md) discusses these results.",
        "",
        f"MobileNetV2 from ImageNet weights, {recipe['train_iterations']:,} steps of "
        f"{recipe['batch_p'] * recipe['batch_k']} images ({images:,}) for every row; one random seed. A row",
        "differs from the recipe only in the named parameters. Test: 4 092 images of the classes 99 to 196,",
        "each against all others, in percent. Accuracy is that of the classification in the last training batch.",
        "",
        "```",
        "python -m benchmarks.cars196_small --dataset data/cars196_small --weights WEIGHTS.weights.h5",
        "```",
        "",
        "| | Recall@1 | Recall@2 | Recall@4 | Recall@8 | MAP@R | triplet loss | accuracy | alarm |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        run = _run(runs, row)
        if not (run / "evaluated").exists():
            continue
        results = read_json_lines(run / "results.jsonl")
        if row == next(iter(ROWS)):
            lines.append(f"| before training: ImageNet features, whitened | {_cells(results, 0)} | | | |")
        *_, last = read_json_lines(run / "metrics.jsonl")
        cells = f"{last['triplet_loss']:.3f} | {last['classification_accuracy']:.0%} | {alarm(run)}"
        lines.append(f"| {row} | {_cells(results, recipe['train_iterations'])} | {cells} |")
    return "\n".join(lines) + "\n"


def _cells(results: list[dict], step: int) -> str:
    (metrics,) = [line["metrics"] for line in results if line["step"] == step]
    return " | ".join(f"{100 * metrics[name]:.1f}" for name in METRICS)


def _run(runs: Path, row: str) -> Path:
    return runs / re.sub("[^a-z0-9]+", "_", row.lower()).strip("_")


if __name__ == "__main__":
    main()
