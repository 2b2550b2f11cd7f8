"""The curves and pictures of an evaluation set in TensorBoard."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from model.run.event_tags import evaluation_tag
from model.run.events import EventWriter, shown_steps
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.log import Log


class SetCurves:
    """The curves of a set, kept equal to results.jsonl, from which a resumed training may drop results.

    Where they cannot be written, as on a full disk, the log says so once: results.jsonl has everything. The next update
    tries again, and writes what is missing.
    """

    def __init__(self, run: RunFolder, name: str, log: Log) -> None:
        self._folder, self._name, self._log = run.eval_events(name), name, log
        self._shown: set[int] = set()
        self._events: EventWriter | None = None
        self._told = False

    def update(self, step: int, lines: Iterable[dict[str, Any]]) -> None:
        """Adds a step to the curves.

        TensorBoard drops all points after a new one, so later points are written again. If an earlier point is no
        longer among the results, or is missing in the curves, they are written again from the last valid point before
        it.

        Args:
            step: step of the new result.
            lines: all results of the set, including the new one.
        """
        metrics = {line["step"]: line["metrics"] for line in lines}
        try:
            events = self._open()
            first = min([step, *(self._shown ^ metrics.keys())])
            if first < step:
                first = max((kept for kept in metrics if kept < first), default=first)
            events.take_back(first)
            again = sorted(kept for kept in metrics if kept >= first)
            for kept in again:
                events.scalars(kept, {evaluation_tag(name): value for name, value in metrics[kept].items()})
            events.flush()
        except UserError as error:
            self._failed(error)
            return
        self._shown = {kept for kept in self._shown if kept < first}.union(again)

    def pictures(self, step: int, pictures: Iterable[tuple[str, np.ndarray]]) -> None:
        """Names and pictures (H, W, 3) uint8."""
        if self._events is None:
            return
        try:
            for name, picture in pictures:
                self._events.picture(evaluation_tag(name), picture, step)
            self._events.flush()
        except UserError as error:
            self._failed(error)

    def _open(self) -> EventWriter:
        if self._events is None:
            self._shown = shown_steps(self._folder)
            self._events = EventWriter(self._folder)
        return self._events

    def _failed(self, error: UserError) -> None:
        self._events = None
        if not self._told:
            self._told = True
            self._log.line(f"note: no curves of {self._name} in TensorBoard: {error}; its results are in results.jsonl")
