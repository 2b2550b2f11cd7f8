"""results.jsonl, best.json and the table of both."""

import shutil
from pathlib import Path
from typing import Any

from dataset.errors import UserError
from dataset.files import read_json, read_json_lines, write_json
from model.checkpoint_files import step_of
from model.run_folder import RunFolder

_SHOWN = 30  # rows of a table


def evaluated(run: RunFolder) -> set[tuple[str, str]]:
    """The (checkpoint, set) pairs that have a complete line in results.jsonl."""
    return {(line["checkpoint"], line["set"]) for line in read_json_lines(run.results)}


def best_metric(wanted: str, headlines: dict[str, str]) -> tuple[str, str]:
    """(set, metric) that decides which checkpoint is the best.

    Args:
        wanted: the parameter best_metric, `<set>/<metric>` or "auto".
        headlines: the most telling metric of each set.

    Raises:
        UserError: when it names no evaluated set.
    """
    if wanted == "auto":
        name = "val_eval" if "val_eval" in headlines else next(iter(headlines))
        return name, headlines[name]
    name, slash, metric = wanted.partition("/")
    if not slash or name not in headlines:
        raise UserError(
            f"best_metric {wanted!r}: it must be auto or <set>/<metric>, with a set of {', '.join(headlines)}"
        )
    return name, metric


def keep_best(run: RunFolder, checkpoint: Path, name: str, metric: str, metrics: dict[str, dict[str, float]]) -> bool:
    """Copies a checkpoint to best/ if its figure is higher than the best so far; says whether it did.

    best.json always names files that are whole: they are copied first, then it is replaced, then older ones go.

    Raises:
        UserError: when the set has no such metric.
    """
    if metric not in metrics[name]:
        raise UserError(f"best_metric {name}/{metric}: that set has {', '.join(metrics[name])}")
    value = metrics[name][metric]
    if run.best_json.exists():
        best = read_json(run.best_json)
        if (best["set"], best["metric"]) == (name, metric) and best["value"] >= value:
            return False
    run.best.mkdir(exist_ok=True)
    copied = []
    for source in sorted(checkpoint.parent.glob(f"{checkpoint.name}.*")):
        temporary = run.best / f".{source.name}.tmp"
        shutil.copyfile(source, temporary)
        temporary.replace(run.best / source.name)
        copied.append(source.name)
    best = {"step": step_of(checkpoint), "checkpoint": checkpoint.name, "set": name, "metric": metric, "value": value}
    write_json(run.best_json, best | {"metrics": metrics})
    for old in run.best.iterdir():
        if old.name not in copied:
            old.unlink()
    return True


def table(run: RunFolder) -> str:
    """All results as text: a table of the episode sets and one for each retrieval set, a row per checkpoint."""
    lines = read_json_lines(run.results)
    best = read_json(run.best_json)["step"] if run.best_json.exists() else None
    sets = list(dict.fromkeys(line["set"] for line in lines))
    by_step: dict[int, dict[str, dict[str, float]]] = {}
    for line in lines:
        by_step.setdefault(line["step"], {})[line["set"]] = line["metrics"]
    steps = sorted(by_step)
    if len(steps) > _SHOWN:
        steps = sorted({steps[0], best if best in by_step else steps[0], *steps[-_SHOWN:]})

    def rows(columns: dict[str, tuple[str, list[str]]]) -> list[list[str]]:
        out = [["step", *columns]]
        for step in steps:
            cells = [_cell(by_step[step].get(name, {}), metrics) for name, metrics in columns.values()]
            out.append([f"{step}{' *' if step == best else ''}", *cells])
        return out

    episode_sets = [name for name in sets if any("general_accuracy" in m.get(name, {}) for m in by_step.values())]
    text = []
    if episode_sets:
        columns = {name: (name, ["general_accuracy", "easy_accuracy"]) for name in episode_sets}
        text += ["general / easy accuracy of episodes, %", _align(rows(columns)), ""]
    for name in sets:
        if name not in episode_sets:
            metrics = ["cmc@1", "cmc@5", "cmc@10", "recall@1", "recall@2", "recall@4", "recall@8", "map"]
            text += [f"{name}, %", _align(rows({metric: (name, [metric]) for metric in metrics})), ""]
    if best is not None:
        text.append(f"* the best: kept in {run.best}")
    return "\n".join(text)


def _cell(metrics: dict[str, Any], names: list[str]) -> str:
    return " / ".join(f"{100 * metrics[name]:.1f}" if name in metrics else "-" for name in names)


def _align(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
