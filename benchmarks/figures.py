"""Figures of benchmarks: a ratio with its spread, the table, the file and the plot of all of them."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.processes import machine
from runtime.files import replace_file
from runtime.parallel import cores
from runtime.versions import find_versions

_PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "torch")


class Figure(NamedTuple):
    """A measured rate or time, compared with something else in the same rounds.

    Attributes:
        part: what it belongs to: input, step, ...
        name: what was measured.
        value: the median over the rounds, in `unit`.
        against: what it is compared with.
        ratio: how many times faster than that; the median over the rounds.
        low, high: the smallest and the largest ratio.
    """

    part: str
    name: str
    value: float
    unit: str
    against: str
    ratio: float
    low: float
    high: float


def compared(
    part: str, name: str, unit: str, work: float, ours: Sequence[float], against: str, theirs: Sequence[float]
) -> Figure:
    """The figure of two series of seconds, measured in turn; in each, `work` is done."""
    ratios = np.asarray(theirs) / np.asarray(ours)
    value = work / float(np.median(ours))
    return Figure(part, name, value, unit, against, *map(float, (np.median(ratios), ratios.min(), ratios.max())))


def line(figure: Figure) -> str:
    """The figure's line of the table."""
    value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.3g}"
    return (
        f"{figure.part:11}{figure.name:48}{value:>9} {figure.unit:11}{figure.ratio:7.2f} times {figure.against:26}"
        f"{figure.low:7.2f} .. {figure.high:.2f}"
    )


def write_json(figures: Sequence[Figure], advice: str, file: Path) -> None:
    """All figures, with the machine and the versions that they are of."""
    contents = {
        "machine": machine(cores()),
        "python": platform.python_version(),
        "packages": find_versions(_PACKAGES),
        "advice": advice,
        "figures": [figure._asdict() for figure in figures],
    }
    with replace_file(file) as out:
        json.dump(contents, out, indent=2)


def draw(figures: Sequence[Figure], file: Path) -> None:
    """A bar for each ratio, with its spread; 1 is a line."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(9, 1.2 + 0.26 * len(figures)), layout="constrained")
    axes = canvas.subplots()
    rows = np.arange(len(figures))
    ratios = np.array([figure.ratio for figure in figures])
    spread = np.abs([[figure.low for figure in figures], [figure.high for figure in figures]] - ratios)
    parts = list(dict.fromkeys(figure.part for figure in figures))
    colours = [f"C{parts.index(figure.part)}" for figure in figures]
    axes.barh(rows, ratios, xerr=spread, color=colours, ecolor="0.3", capsize=2)
    axes.axvline(1.0, color="0.3", linewidth=1)
    axes.set_xscale("log")
    labels = [f"{figure.part}: {figure.name}\nagainst {figure.against}" for figure in figures]
    axes.set_yticks(rows, labels, fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast; whiskers: slowest and fastest round")
    axes.margins(y=0.01)
    with replace_file(file, "wb") as out:
        canvas.savefig(out, format="png", dpi=120)
