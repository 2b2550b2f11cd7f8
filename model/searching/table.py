"""The table of a search: one row per trial, best first, as CSV, Markdown, and text for a terminal."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.run.run_folder import RunFolder
from model.searching.trials import Outcome, Trial, is_finished, mean_and_deviation, read_outcome, reason_of
from runtime.files import replace_file
from runtime.printable import printable
from runtime.tables import align, write_csv

DEVIATION = "deviation"
STATES = ("done", "pruned", "failed", "unfinished")  # their order in the table


def make_rows(
    trials: Sequence[Trial], failures: dict[RunFolder, str], searched: Sequence[str], deciding: str
) -> list[dict[str, Any]]:
    """Rows with the columns trial, `searched`, status, runs, step, `deciding`, deviation, and other main metrics.

    Args:
        trials: with their runs.
        failures: the errors of failed runs.
        searched: parameters that differ between the trials.
        deciding: the metric that ranks the trials, `<set>/<metric>`. All metrics, and `step`, are means over the runs,
            each at its best checkpoint.
    """
    found = []
    for trial in trials:
        status = describe_status(trial, failures)
        outcomes = [outcome for run in trial.runs if run not in failures and (outcome := read_outcome(run))]
        if status == "unfinished":
            outcomes = []
        found.append((trial, status, outcomes))
    others = list(dict.fromkeys(name for _, _, outcomes in found for each in outcomes for name in each.metrics))

    def place(entry: tuple[Trial, str, list[Outcome]]) -> tuple[int, float, int]:
        trial, status, outcomes = entry
        value = mean_and_deviation([each.value for each in outcomes])[0] if outcomes else float("-inf")
        return STATES.index(status.partition(":")[0]), -value, trial.number

    rows = []
    for trial, status, outcomes in sorted(found, key=place):
        row: dict[str, Any] = {"trial": trial.number} | {key: _cell(trial.values[key]) for key in searched}
        row |= {"status": status, "runs": len(outcomes), "step": "", deciding: "", DEVIATION: ""}
        if outcomes:
            mean, deviation = mean_and_deviation([each.value for each in outcomes])
            row |= {"step": round(mean_and_deviation([each.step for each in outcomes])[0]), deciding: _round(mean)}
            row[DEVIATION] = "" if deviation is None else _round(deviation)
        for name in others:
            values = [each.metrics[name] for each in outcomes if name in each.metrics]
            if name != deciding:
                row[name] = _round(mean_and_deviation(values)[0]) if values else ""
        rows.append(row)
    return rows


def describe_status(trial: Trial, failures: dict[RunFolder, str]) -> str:
    """`done`, `pruned: ...`, `failed: ...` or `unfinished`."""
    failed = [failures[run] for run in trial.runs if run in failures]
    if failed:
        return f"failed: {failed[0]}"
    if reason := reason_of(trial):
        return f"pruned: {reason}"
    return "done" if all(is_finished(run) for run in trial.runs) else "unfinished"


def _cell(value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value)


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def write_tables(parent: Path, rows: list[dict[str, Any]]) -> None:
    """Writes table.csv and table.md."""
    write_csv(parent / "table.csv", rows)
    with replace_file(parent / "table.md") as file:
        file.write(format_markdown(rows))


def format_markdown(rows: list[dict[str, Any]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_short(value) for value in row.values()] for row in rows)]
    return "".join("| " + " | ".join(printable(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def format_text(rows: list[dict[str, Any]], columns: Sequence[str]) -> str:
    """Some columns, aligned for a terminal; the status is shortened to its first word."""
    shown = [row | {"status": row["status"].partition(":")[0]} for row in rows]
    return align([list(columns), *([_short(row[name]) for name in columns] for row in shown)])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
