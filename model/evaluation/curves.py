"""The curves and pictures of an evaluation set in TensorBoard."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from model.run.event_tags import evaluation_tag
from model.run.events import PICTURES, EventWriter, is_kept, shown_points
from model.run.run_folder import RunFolder
from runtime.errors import UserError


class SetCurves:
    """The curves of a set, kept equal to results.jsonl, from which a resumed training may drop results.

    Where they cannot be written, as on a full disk, the next update tries again, and writes what is missing.
    """

    def __init__(self, run: RunFolder, name: str) -> None:
        self._folder = run.eval_events(name)
        self._shown: dict[int, dict[str, str]] | None = None  # not read yet
        self._events: EventWriter | None = None

    def update(self, lines: Iterable[dict[str, Any]], until: float = math.inf) -> list[int]:
        """Makes the curves equal to the results.

        TensorBoard drops all points after a new one, so later points are written again. So is the last valid point
        before one that is no longer among the results.

        Args:
            lines: all results of the set.
            until: results of this step and later ones are added another time.

        Returns:
            The steps that the curves have now.

        Raises:
            UserError: when they cannot be written.
        """
        if self._shown is None:
            self._shown = {step: _rounded(values) for step, values in shown_points(self._folder).items()}
        points = {
            line["step"]: {evaluation_tag(name): value for name, value in line["metrics"].items() if value is not None}
            for line in lines
            if line["step"] < until or line["step"] in self._shown
        }
        rounded = {step: _rounded(values) for step, values in points.items()}
        wrong = [step for step in rounded.keys() | self._shown if rounded.get(step) != self._shown.get(step)]
        if wrong:
            first = min(wrong)
            if first not in points:
                first = max((step for step in points if step < first), default=first)
            with self._opened() as events:
                events.take_back(first)
                for step in sorted(step for step in points if step >= first):
                    events.scalars(step, points[step])
                events.flush()
            self._shown = rounded
        return sorted(rounded)

    def pictures(self, step: int, pictures: Iterable[tuple[str, np.ndarray]]) -> None:
        """Names and pictures (H, W, 3) uint8; raises a UserError when they cannot be written.

        After many evaluations, only some of them are written.
        """
        with self._opened() as events:
            kept = is_kept(sum(shown < step for shown in self._shown or ()), PICTURES)
            for name, picture in pictures:
                if not kept:
                    continue
                events.picture(evaluation_tag(name), picture, step)
            events.flush()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[EventWriter]:
        """The writer. After an error of writing, another file is begun the next time."""
        if self._events is None:
            self._events = EventWriter(self._folder)
        try:
            yield self._events
        except UserError:
            self._events = self._shown = None
            raise


def _rounded(values: dict[str, float]) -> dict[str, str]:
    """The values as an event file has them, in a form in which NaN equals itself."""
    return {tag: str(np.float32(value)) for tag, value in values.items()}
