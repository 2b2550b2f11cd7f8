"""Comparisons of benchmarks: a ratio with its spread, and the table, the file and the plot of all of them."""

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


class Comparison(NamedTuple):
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
) -> Comparison:
    """Compares two series of seconds, measured in turn; in each, `work` is done."""
    ratios = np.asarray(theirs) / np.asarray(ours)
    value = work / float(np.median(ours))
    return Comparison(part, name, value, unit, against, *map(float, (np.median(ratios), ratios.min(), ratios.max())))


def line(found: Comparison) -> str:
    """Its line of the table."""
    value = f"{found.value:,.0f}" if found.value >= 100 else f"{found.value:.3g}"
    ratio = f"{found.ratio:7.2f} times {found.against:26}{found.low:7.2f} .. {found.high:.2f}"
    return f"{found.part:11}{found.name:48}{value:>9} {found.unit:11}{ratio}"


def write_json(comparisons: Sequence[Comparison], advice: str, file: Path) -> None:
    """All comparisons, with the machine and the versions that they are of."""
    contents = {
        "machine": machine(cores()),
        "python": platform.python_version(),
        "packages": find_versions(_PACKAGES),
        "advice": advice,
        "comparisons": [comparison._asdict() for comparison in comparisons],
    }
    with replace_file(file) as out:
        json.dump(contents, out, indent=2)


def draw(comparisons: Sequence[Comparison], file: Path) -> None:
    """A bar for each ratio, with its spread; 1 is a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.26 * len(comparisons)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(comparisons))
    ratios = np.array([each.ratio for each in comparisons])
    spread = np.abs([[each.low for each in comparisons], [each.high for each in comparisons]] - ratios)
    parts = list(dict.fromkeys(each.part for each in comparisons))
    colours = [f"C{parts.index(each.part)}" for each in comparisons]
    axes.barh(rows, ratios, xerr=spread, color=colours, ecolor="0.3", capsize=2)
    axes.axvline(1.0, color="0.3", linewidth=1)
    axes.set_xscale("log")
    labels = [f"{each.part}: {each.name}\nagainst {each.against}" for each in comparisons]
    axes.set_yticks(rows, labels, fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast; whiskers: slowest and fastest round")
    axes.margins(y=0.01)
    with replace_file(file, "wb") as out:
        figure.savefig(out, format="png", dpi=120)
