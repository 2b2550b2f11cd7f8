"""The evaluation sets of a data set: finds their files, reads and checks their lists, defines their metrics."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from dataset.formats.prepared import PreparedDataset
from model.configuration.params import Params
from runtime import plugins
from runtime.errors import UserError

_KINDS = "model.evaluation.kinds"


class EvaluationSet(NamedTuple):
    """An evaluation set of a prepared data set: its name, its kind (a module of `evaluation.kinds`), its CSV files."""

    name: str
    kind: str
    files: tuple[Path, ...]


class SetMetrics(NamedTuple):
    """The result of an evaluation: metrics, their definitions, and counts, by name.

    `details` are further keys for results.jsonl: intervals and breakdown of episodes.
    """

    metrics: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    details: dict[str, Any]

    def line(self) -> dict[str, Any]:
        """The keys of a line of results.jsonl."""
        return {"metrics": self.metrics, "definitions": self.definitions, "counts": self.counts} | self.details


@dataclass(frozen=True)
class ReadySet:
    """An evaluation set with its lists read and checked.

    Attributes:
        found: the set.
        files: the images it needs.
        orientations: their EXIF orientations.
        evaluate: embeddings of `files` (N, D) -> its metrics.
        metrics: the names of the metrics where higher is better, the main one first.
        skipped: the number of broken images skipped.
        excluded: the images of nobody that are not evaluated, in words; usually empty.
    """

    found: EvaluationSet
    files: list[str]
    orientations: np.ndarray
    evaluate: Callable[[np.ndarray], SetMetrics]
    metrics: tuple[str, ...]
    skipped: int
    excluded: str = ""

    @property
    def name(self) -> str:
        """The name in event files and results."""
        return self.found.name


def load_kinds() -> dict[str, ModuleType]:
    """All kinds of evaluation sets by name, in the order of evaluation and tables."""
    names = plugins.choices(_KINDS, ("episodes", "query_gallery", "all_vs_all"))
    return {name: plugins.load(_KINDS, name) for name in names}


def find_evaluation_sets(folder: Path) -> list[EvaluationSet]:
    """The evaluation sets of a prepared folder.

    Raises:
        UserError: for an incomplete set, or two sets of one name.
    """
    found: dict[str, EvaluationSet] = {}
    for kind, module in load_kinds().items():
        for name, files in module.find(folder).items():
            if name in found:
                raise UserError(
                    f"{found[name].files[0]}: the name {name!r} is taken by {files[0].name}; rename one of them"
                )
            found[name] = EvaluationSet(name, kind, files)
    return list(found.values())


def load_evaluation_sets(
    prepared: PreparedDataset, params: Params, bad: dict[str, str] | None = None
) -> list[ReadySet]:
    """The sets of `eval_sets` (default: all), read and checked.

    Args:
        prepared: the data set.
        params: the parameters.
        bad: if given, it gets the sets that cannot be evaluated, unless `eval_sets` names them: name -> why.

    Raises:
        UserError: when there is no set, or none of that name; when a list or image is broken, or no query has a match.
    """
    found = {each.name: each for each in find_evaluation_sets(prepared.folder)}
    if not found:
        what = "episodes/*.csv, query.csv + gallery.csv, or test.csv"
        raise UserError(f"{prepared.folder}: there is no evaluation set in it; add {what}")
    for name in params.eval_sets or []:
        if name not in found:
            raise UserError(f"eval_sets: {prepared.folder} has no set {name!r}; it has {', '.join(found)}")
    kinds, sets, wrong = load_kinds(), [], {}
    for name in params.eval_sets or found:
        try:
            sets.append(kinds[found[name].kind].load(found[name], prepared, params))
        except UserError as error:
            wrong[name] = str(error)
    if wrong and (bad is None or params.eval_sets or not sets):
        name, why = next(iter(wrong.items()))
        sound = json.dumps([each.name for each in sets])
        lists = " and ".join(file.name for file in found[name].files)
        remedy = f"set eval_sets to {sound}" if sets else f"move {lists} to another folder"
        raise UserError(f"evaluation set {name}: {why}; to go without this set, {remedy}")
    if bad is not None:
        bad |= wrong
    return sets
