"""The curves and pictures of an evaluation set in TensorBoard."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from model.run.event_tags import evaluation_tag
from model.run.events import EventWriter, shown_steps
from model.run.run_folder import RunFolder


class SetCurves:
    """Shows what results.jsonl has of a set, and nothing else: a training that resumes may drop results."""

    def __init__(self, run: RunFolder, name: str) -> None:
        folder = run.eval_events(name)
        self._shown = shown_steps(folder)
        self._events = EventWriter(folder)

    def update(self, step: int, lines: Iterable[dict[str, Any]]) -> None:
        """Adds a step to the curves.

        Later points are written again after it: TensorBoard drops what follows a new point. Points that are no longer
        among the results may precede it; then the last one before these is written again, too.

        Args:
            step: of a checkpoint that was just evaluated.
            lines: all results of the set, this step included.
        """
        metrics = {line["step"]: line["metrics"] for line in lines}
        first = min([step, *(self._shown - metrics.keys())])
        if first < step:
            first = max((kept for kept in metrics if kept < first), default=first)
        self._events.take_back(first)
        again = sorted(kept for kept in metrics if kept >= first)
        for kept in again:
            self._events.scalars(kept, {evaluation_tag(name): value for name, value in metrics[kept].items()})
        self._events.flush()
        self._shown = {kept for kept in self._shown if kept < first}.union(again)

    def pictures(self, step: int, pictures: Iterable[tuple[str, np.ndarray]]) -> None:
        """Names and pictures (H, W, 3) uint8."""
        for name, picture in pictures:
            self._events.picture(evaluation_tag(name), picture, step)
        self._events.flush()
