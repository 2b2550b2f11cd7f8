"""Reads and changes results.jsonl, the metrics of all evaluated checkpoints."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from model.configuration.params import Params
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import drop_json_lines_after, read_json_lines
from runtime.locks import in_turn
from runtime.tables import write_csv

_POOLING = "pool_sequences"  # a key only where there is pooling


def read_results(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of results.jsonl.

    Raises:
        UserError: for a line that is not a result.
    """
    lines = read_json_lines(run.results)
    for number, line in enumerate(lines, start=1):
        if not is_result(line):
            raise UserError(f"{run.results}: line {number} is not a result; remove it")
    return lines


class _Group(BaseModel):
    """The metrics of some episodes, with their intervals."""

    model_config = ConfigDict(strict=True)

    general_accuracy: float
    easy_accuracy: float
    intervals: dict[str, list[float]] = {}
    snippet_intervals: dict[str, list[float]] = {}

    @model_validator(mode="after")
    def _complete(self) -> "_Group":
        for intervals in filter(None, (self.intervals, self.snippet_intervals)):
            if any(len(intervals.get(name, ())) != 2 for name in ("general_accuracy", "easy_accuracy")):
                raise ValueError("an interval is incomplete")
        return self


class _Result(BaseModel):
    """A line of results.jsonl. Keys that a later version adds are ignored."""

    model_config = ConfigDict(strict=True)

    step: int
    set: str
    checkpoint: str
    metrics: dict[str, float | None]
    definitions: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    breakdown: dict[str, dict[str, _Group]] = {}


def is_result(line: Any) -> bool:
    """Whether a value has the form of a line of results.jsonl."""
    try:
        _Result.model_validate(line)
        if {"intervals", "snippet_intervals"} & line.keys():
            _Group.model_validate(line | line["metrics"])
    except ValidationError:
        return False
    return True


def results_with(run: RunFolder, origin: dict[str, str]) -> list[dict[str, Any]]:
    """The lines with the same data set, distance and pooling as `origin`: their metrics are comparable."""

    def agrees(definitions: dict[str, str]) -> bool:
        return origin.items() <= definitions.items() and definitions.get(_POOLING) == origin.get(_POOLING)

    return [line for line in read_results(run) if agrees(line.get("definitions", {}))]


def evaluated(run: RunFolder, origin: dict[str, str]) -> set[tuple[str, str]]:
    """The (checkpoint, set) pairs with a complete line in results.jsonl, for this data set and distance."""
    return {(line["checkpoint"], line["set"]) for line in results_with(run, origin)}


def changing_results(run: RunFolder) -> AbstractContextManager[None]:
    """A context in which no other process changes results.jsonl, results.csv and the best checkpoint; waits for it."""
    return in_turn(run.folder / ".results.lock")


def forget_results_after(run: RunFolder, step: int) -> int:
    """Drops the results of steps that a training is about to repeat, and returns their number.

    Otherwise new checkpoints under old names would count as evaluated.
    """
    with changing_results(run):
        read_results(run)  # checks them
        return drop_json_lines_after(run.results, step)


def results_of(run: RunFolder, params: Params, checkpoint: Path) -> list[dict[str, Any]]:
    """The newest line of each evaluation set for a checkpoint, with the run's data set and distance.

    Empty for a checkpoint outside the run's folders, which may have the same name as one of the run's.
    """
    if checkpoint.resolve().parent not in (run.checkpoints.resolve(), run.best.resolve()):
        return []
    lines = results_with(run, origin_of(params))
    return list({line["set"]: line for line in lines if line["checkpoint"] == checkpoint.name}.values())


def write_results_csv(run: RunFolder) -> None:
    """Writes results.csv: one row per checkpoint and set of results.jsonl, without definitions.

    The columns are step, set, checkpoint, dataset, distance, pool_sequences (if there is pooling), and every metric.
    """
    rows = []
    for line in read_results(run):
        definitions = line.get("definitions", {})
        row = {name: line[name] for name in ("step", "set", "checkpoint")}
        row |= {"dataset": definitions.get("dataset", ""), "distance": definitions.get("metric", "")}
        rows.append(row | {name: definitions[name] for name in (_POOLING,) if name in definitions} | line["metrics"])
    write_csv(run.folder / "results.csv", rows)


def origin_of(params: Params) -> dict[str, str]:
    """The settings that comparable results have in common."""
    pooled = params.eval_pool_sequences
    return {"dataset": params.dataset, "metric": params.metric} | (
        {"pool_sequences": pooled} if pooled != "none" else {}
    )
