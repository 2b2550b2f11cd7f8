"""The curves and pictures of an evaluation set in TensorBoard."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from model.run.event_tags import evaluation_tag
from model.run.events import EventWriter, shown_steps
from model.run.run_folder import RunFolder


class SetCurves:
    """The curves of a set, kept equal to results.jsonl, from which a resumed training may drop results."""

    def __init__(self, run: RunFolder, name: str) -> None:
        folder = run.eval_events(name)
        self._shown = shown_steps(folder)
        self._events = EventWriter(folder)

    def update(self, step: int, lines: Iterable[dict[str, Any]]) -> None:
        """Adds a step to the curves.

        TensorBoard drops all points after a new one, so later points are written again. If an earlier point is no
        longer among the results, the curve is written again from the last valid point before it.

        Args:
            step: step of the new result.
            lines: all results of the set, including the new one.
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
