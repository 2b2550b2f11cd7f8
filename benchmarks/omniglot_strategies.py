"""Every strategy on Omniglot with the same budget, over several random seeds: mean and standard deviation of Recall@1.

    python -m benchmarks.omniglot_strategies

trains a shortened recipe of experiments/omniglot once per strategy and seed, evaluates each run's last checkpoint, and
writes the table. To resume after a stop, repeat the command: finished runs are skipped.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from runtime import plugins
from runtime.files import replace_file
from runtime.json_files import read_json_lines

ROOT = plugins.ROOT
RECIPE = ROOT / "experiments" / "omniglot" / "params.json"
# Differences from the recipe, in addition to the strategy: 600 instead of 4 500 steps, and a shorter warm-up.
BUDGET = {"train_iterations": 600, "warmup_steps": 100, "save_picture_steps": "null"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="runs per strategy (default: 3)")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "omniglot_strategies", help="folder of the runs")
    parser.add_argument("--out", type=Path, default=ROOT / "experiments" / "omniglot" / "strategies.md")
    parser.add_argument("--strategies", nargs="+", default=plugins.choices("model.losses.strategies"), metavar="NAME")
    args = parser.parse_args()

    for seed in range(args.seeds):
        for strategy in args.strategies:
            train(args.runs / f"{strategy}-{seed}", strategy, seed)
        recalls = {
            strategy: [last_metrics(args.runs / f"{strategy}-{s}") for s in range(seed + 1)]
            for strategy in args.strategies
        }
        with replace_file(args.out) as file:
            file.write(page(recalls))
        print(f"{args.out}: {seed + 1} seeds", flush=True)


def train(run: Path, strategy: str, seed: int) -> None:
    """Trains and evaluates one run with the commands of a user. Resumes a stopped run."""
    if (run / "results.jsonl").exists() and (run / "DONE").exists():
        return
    settings = BUDGET | {"seed": seed, "triplet_strategy": strategy}
    if strategy == "basic":
        settings["sampling"] = "triplets"
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    print(f"{strategy}, seed {seed}", flush=True)
    command = [sys.executable, "train.py", "--model_dir", str(run), "--params", str(RECIPE), *sets]
    for line in (command, [sys.executable, "evaluate.py", "--model_dir", str(run), "--once"]):
        subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def last_metrics(run: Path) -> dict[str, float]:
    """The metrics of a run's last checkpoint."""
    return read_json_lines(run / "results.jsonl")[-1]["metrics"]


def page(runs: dict[str, list[dict[str, float]]]) -> str:
    """The page with the table, best first."""

    def cell(values: list[float]) -> str:
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"

    seeds = len(next(iter(runs.values())))
    ranked = sorted(runs, key=lambda name: -statistics.mean(each["recall@1"] for each in runs[name]))
    lines = [
        "# Strategies on Omniglot",
        "",
        f"Mean ± standard deviation over {seeds} random seeds, in percent. Each run is the recipe of this folder with "
        f"{BUDGET['train_iterations']} steps of 128 images",
        f"instead of 4 500 and a warm-up of {BUDGET['warmup_steps']}; only `triplet_strategy` changes (`basic` with "
        '`sampling: "triplets"`, 126 images per step).',
        "Learning rate and margin are those of the recipe, which was tuned with `batch_hard`. Each of the 13 180 test",
        "images is a query against all others.",
        "",
        "`python -m benchmarks.omniglot_strategies` makes this page.",
        "",
        "| strategy | Recall@1 | Recall@8 | mAP |",
        "|---|---|---|---|",
    ]
    for name in ranked:
        columns = [cell([each[metric] for each in runs[name]]) for metric in ("recall@1", "recall@8", "map")]
        lines.append(f"| `{name}` | {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
