"""Parallel coordinates: an axis for each parameter, one for the metric, and a line through them for each trial."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.colors import to_hex

from model.searching.space import Choices, Dimension, Range

TOP, BOTTOM = 0.0, 1.0  # of an axis


class Tick(NamedTuple):
    """A label on an axis, and its place."""

    place: float
    label: str


class Axis(NamedTuple):
    """A vertical axis, from BOTTOM to TOP.

    Attributes:
        name: its title.
        ticks: labels.
        places: place of each row's value; None if it has none.
    """

    name: str
    ticks: list[Tick]
    places: list[float | None]


def make_axes(space: Sequence[Dimension], rows: Sequence[dict[str, Any]], metric: str) -> list[Axis]:
    """The axes of the parameters that differ, then that of the metric.

    Args:
        space: the searched parameters.
        rows: rows of the search's table.
        metric: the column that ranks them.
    """
    axes = []
    for each in space:
        if isinstance(each, Choices):
            if len(each.values) > 1:
                axes.append(_choices_axis(each, rows))
        else:
            numbers = [float(row[each.key]) for row in rows]
            axes.append(_number_axis(each.key, numbers, each.low, each.high, log=each.log))
    values = [row[metric] if row[metric] != "" else None for row in rows]
    known = [value for value in values if value is not None]
    if known:
        axes.append(_number_axis(metric, values, min(known), max(known), log=False))
    return axes


def colour_rows(rows: Sequence[dict[str, Any]], metric: str) -> list[str | None]:
    """A colour of Matplotlib's viridis for each row, dark where the metric is low; None for rows without the metric."""
    known = [row[metric] for row in rows if row[metric] != ""]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    # The upper end is a yellow that is hardly visible on white.
    shares = [None if row[metric] == "" else 0.9 * _share(row[metric], low, high) for row in rows]
    return [None if share is None else to_hex(colormaps["viridis"](share)) for share in shares]


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 1.0


def _choices_axis(choices: Choices, rows: Sequence[dict[str, Any]]) -> Axis:
    """An axis of evenly spaced choices, from the bottom: numbers in ascending order, then the others."""
    values = sorted(choices.values, key=lambda value: (not _is_number(value), value if _is_number(value) else 0))
    labels = [value if isinstance(value, str) else json.dumps(value) for value in values]
    places = {label: BOTTOM - place / (len(labels) - 1) for place, label in enumerate(labels)}
    ticks = [Tick(place, label) for label, place in places.items()]
    return Axis(choices.key, ticks, [places.get(str(row[choices.key])) for row in rows])


def is_numeric(dimension: Dimension) -> bool:
    """Whether all values are numbers, which a table can be sorted by."""
    return isinstance(dimension, Range) or all(_is_number(value) for value in dimension.values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number_axis(name: str, values: Sequence[float | None], low: float, high: float, *, log: bool) -> Axis:
    def place(value: float) -> float:
        ends = (math.log(value), math.log(low), math.log(high)) if log else (value, low, high)
        return BOTTOM - _share(*ends)

    ticks = dict.fromkeys([low, *_round_numbers(low, high, log=log), high])
    # A round number near an end of the axis has no label: it would overlap.
    kept = [v for v in ticks if v in (low, high) or 0.06 < place(v) < 0.94]
    return Axis(name, [Tick(place(v), f"{v:.4g}") for v in kept], [None if v is None else place(v) for v in values])


def _round_numbers(low: float, high: float, *, log: bool) -> list[float]:
    """Powers of ten, or multiples of 1, 2 or 5 times one, strictly between the ends."""
    if log:
        powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
        return [10.0**power for power in powers if low < 10.0**power < high]
    if high <= low:
        return []
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
