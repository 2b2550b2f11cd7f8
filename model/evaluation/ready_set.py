"""What an evaluation set is: its files, then its lists read and checked, then its metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class EvaluationSet(NamedTuple):
    """An evaluation set of a prepared data set: its name, its kind (a module of `evaluation.kinds`), its CSV files."""

    name: str
    kind: str
    files: tuple[Path, ...]


class SetMetrics(NamedTuple):
    """What an evaluation gives: metrics, what each means, and over how much it was taken, by name.

    `details` is what results.jsonl has besides: of episodes, their intervals and breakdown.
    """

    metrics: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    details: dict[str, Any]

    def line(self) -> dict[str, Any]:
        """All of it, for results.jsonl."""
        return {"metrics": self.metrics, "definitions": self.definitions, "counts": self.counts} | self.details


@dataclass(frozen=True)
class ReadySet:
    """An evaluation set whose lists are read and checked.

    Attributes:
        found: the set.
        files: the images it needs.
        orientations: their EXIF orientations.
        evaluate: embeddings of `files` (N, D) -> its metrics.
        metrics: the names of those metrics of which more is better, the most telling one first.
        skipped: the number of broken images left out.
    """

    found: EvaluationSet
    files: list[str]
    orientations: np.ndarray
    evaluate: Callable[[np.ndarray], SetMetrics]
    metrics: tuple[str, ...]
    skipped: int

    @property
    def name(self) -> str:
        """As in event files and results."""
        return self.found.name
