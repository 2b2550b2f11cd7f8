"""Prints the results of a run as tables."""

import contextlib
from typing import Any

from dataset.formats.categories import readable
from model.evaluation.sets import load_kinds
from model.run.results import results_with
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import read_json_object
from runtime.printable import printable
from runtime.tables import align

_ROWS = 30  # largest number of checkpoints in a table
_ACCURACIES = {"general": "general_accuracy", "easy": "easy_accuracy"}


def table(run: RunFolder, origin: dict[str, str]) -> str:
    """The results as tables, one or more per kind of evaluation set, with one row per checkpoint.

    Args:
        run: the run.
        origin: data set and metric, see `results_with`.
    """
    lines = results_with(run, origin)
    best = _best_step(run)
    sets = list(dict.fromkeys(line["set"] for line in lines))
    by_step: dict[int, dict[str, dict[str, float]]] = {}
    for line in lines:
        by_step.setdefault(line["step"], {})[line["set"]] = line["metrics"]
    steps = sorted(by_step)
    if len(steps) > _ROWS:
        steps = sorted({steps[0], best if best in by_step else steps[0], *steps[-_ROWS:]})

    def rows(columns: dict[str, tuple[str, tuple[str, ...]]]) -> list[list[str]]:
        out = [["step", *columns]]
        for step in steps:
            cells = [_cell(by_step[step].get(name, {}), metrics) for name, metrics in columns.values()]
            out.append([f"{step}{' *' if step == best else ''}", *cells])
        return out

    text = []
    for kind in load_kinds().values():
        own = [name for name in sets if any(kind.MAIN in metrics.get(name, {}) for metrics in by_step.values())]
        for title, columns in kind.tables(own) if own else ():
            text += [printable(title), align(rows(columns)), ""]
        sets = [name for name in sets if name not in own]
    text += [f"{printable(name)}: unknown kind of evaluation set; its metrics are in {run.results}\n" for name in sets]
    if best is not None:
        text.append(f"* the best checkpoint, in {printable(run.best)}")
    return "\n".join(text)


def _best_step(run: RunFolder) -> int | None:
    """The step of the best checkpoint; None without one, or if best.json is damaged: the results are shown anyway."""
    with contextlib.suppress(UserError):
        step = read_json_object(run.best_json).get("step")
        return step if type(step) is int else None
    return None


def _cell(metrics: dict[str, Any], names: tuple[str, ...]) -> str:
    return " / ".join(f"{100 * metrics[name]:.1f}" if metrics.get(name) is not None else "-" for name in names)


def intervals_text(run: RunFolder, origin: dict[str, str]) -> str:
    """One line per set of episodes: both accuracies with 95% intervals.

    Snippets are resampled if they are known, else episodes. Sets without intervals are skipped.

    Args:
        run: the run.
        origin: data set and metric, see `results_with`.
    """
    text = []
    for title, line in _chosen(run, origin):
        if "intervals" in line:
            kind, unit = _shown_intervals(line)
            values = line["metrics"] | line
            cells = ", ".join(f"{word} {_with_interval(values, metric, kind)}" for word, metric in _ACCURACIES.items())
            text.append(f"{title}: {cells} (95%, {line['counts'].get(unit, 0):,} {unit} resampled)")
    return "\n".join(text)


def breakdown_text(run: RunFolder, origin: dict[str, str]) -> str:
    """One table per set of episodes and attribute, one row per group; lists the sets without a breakdown."""
    chosen = _chosen(run, origin)
    if not chosen:
        return "no breakdown: no evaluated set has episodes"
    text = []
    for title, line in chosen:
        kind, unit = _shown_intervals(line)
        for attribute, groups in line.get("breakdown", {}).items():
            text += [f"{title}, by {printable(attribute)}, % (95%, {unit} resampled)", _table(groups, kind), ""]
    old = [title for title, line in chosen if "breakdown" not in line]
    if old:
        remedy = "remove these lines, and run evaluate.py again while the checkpoints exist"
        text.append(f"no breakdown of {', '.join(old)}: their lines in {run.results} are of an older version; {remedy}")
    return "\n".join(text).rstrip()


def _chosen(run: RunFolder, origin: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """For each set of episodes, the title and the line to show."""
    best = _best_step(run)
    by_set: dict[str, dict[int, dict[str, Any]]] = {}
    for line in results_with(run, origin):
        if "general_accuracy" in line["metrics"]:
            by_set.setdefault(line["set"], {})[line["step"]] = line
    chosen = []
    for name, lines in by_set.items():
        step = best if best in lines else max(lines)
        which = "the best" if step == best else "the last"
        chosen.append((f"{printable(name)} at step {step} ({which})", lines[step]))
    return chosen


def _table(groups: dict[str, dict[str, Any]], kind: str) -> str:
    snippets = any("snippets" in group for group in groups.values())
    rows = [["group", "episodes", *(["snippets"] if snippets else []), *_ACCURACIES]]
    for name, group in groups.items():
        name = f"{group['groups']} others" if "groups" in group else readable(name)
        counts = [str(group[key]) for key in ("episodes", "snippets") if key in group]
        rows.append([name, *counts, *(_with_interval(group, metric, kind) for metric in _ACCURACIES.values())])
    return align(rows)


def _with_interval(values: dict[str, Any], metric: str, kind: str) -> str:
    """`85.2 [82.1, 88.3]`, or `85.2 [-]` for a group of a single snippet."""
    if kind not in values:
        return f"{100 * values[metric]:.1f} [-]"
    low, high = values[kind][metric]
    return f"{100 * values[metric]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _shown_intervals(line: dict[str, Any]) -> tuple[str, str]:
    """The key of the intervals to show, and their unit."""
    return ("snippet_intervals", "snippets") if "snippet_intervals" in line else ("intervals", "episodes")
