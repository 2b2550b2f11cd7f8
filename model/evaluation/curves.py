"""The curves and pictures of an evaluation set in TensorBoard."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from model.run.event_tags import evaluation_tag
from model.run.events import PICTURES, EventWriter, is_kept, shown_steps
from model.run.run_folder import RunFolder
from runtime.errors import UserError


class SetCurves:
    """The curves of a set, kept equal to results.jsonl, from which a resumed training may drop results.

    Where they cannot be written, as on a full disk, the next update tries again, and writes what is missing.
    """

    def __init__(self, run: RunFolder, name: str) -> None:
        self._folder = run.eval_events(name)
        self._shown: set[int] = set()
        self._events: EventWriter | None = None

    def update(self, step: int, lines: Iterable[dict[str, Any]]) -> None:
        """Adds a step to the curves.

        TensorBoard drops all points after a new one, so later points are written again. If an earlier point is no
        longer among the results, or is missing in the curves, they are written again from the last valid point before
        it.

        Args:
            step: step of the new result.
            lines: all results of the set, including the new one.

        Raises:
            UserError: when they cannot be written.
        """
        metrics = {line["step"]: line["metrics"] for line in lines}
        with self._opened() as events:
            first = min([step, *(self._shown ^ metrics.keys())])
            if first < step:
                first = max((kept for kept in metrics if kept < first), default=first)
            events.take_back(first)
            again = sorted(kept for kept in metrics if kept >= first)
            for kept in again:
                events.scalars(
                    kept, {evaluation_tag(name): value for name, value in metrics[kept].items() if value is not None}
                )
            events.flush()
        self._shown = {kept for kept in self._shown if kept < first}.union(again)

    def pictures(self, step: int, pictures: Iterable[tuple[str, np.ndarray]]) -> None:
        """Names and pictures (H, W, 3) uint8; raises a UserError when they cannot be written.

        After many evaluations, only some of them are written.
        """
        with self._opened() as events:
            kept = is_kept(len(self._shown) - 1, PICTURES)
            for name, picture in pictures:
                if not kept:
                    continue
                events.picture(evaluation_tag(name), picture, step)
            events.flush()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[EventWriter]:
        """The writer. After an error of writing, another file is begun the next time."""
        if self._events is None:
            self._shown, self._events = shown_steps(self._folder), EventWriter(self._folder)
        try:
            yield self._events
        except UserError:
            self._events = None
            raise
