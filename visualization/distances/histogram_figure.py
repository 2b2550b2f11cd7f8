"""The picture of `visualize.py distances`: how far positive pairs are apart, and how far negative ones."""

import math

import numpy as np

from visualization.distances.histograms import BINS, DistanceHistograms, count_distances
from visualization.kit.colours import FAINT, INK, PALETTE
from visualization.kit.plotting import Axes, Figure, make_figure, pixels_of, plain, strip_axes
from visualization.kit.printable import shorten
from visualization.sources.embedded_set import EmbeddedSet

_POSITIVE, _NEGATIVE = PALETTE[4], PALETTE[5]  # blue and vermillion; a dashed line besides
_FEW = 1000  # positives that need wider bins

NOTES = [
    "Positive pairs are a query and a gallery image of its identity, negative ones are of two identities. All pairs "
    "of the queries that have a match are counted, without those that the excluder leaves out: no sample.",
    "The threshold is the distance of the first negative pair that the false positive rate (FPR) excludes; the true "
    "positive rate (TPR) is the share of positive pairs nearer than that. Both are those of the evaluation.",
    f"Area under the ROC curve (AUC), from {BINS:,} bins: the probability that a positive pair is nearer than a "
    "negative one. Equal error rate: the share of positives that are missed where as large a share of negatives is "
    "accepted. d': how far apart the two means are, in standard deviations (root of the mean of both variances).",
]


def picture_distances(embedded: EmbeddedSet) -> np.ndarray:
    """The histograms of a set, for TensorBoard: (H, W, 3) uint8, the same bits for the same embeddings.

    Raises:
        UserError: when matplotlib is not installed.
    """
    return pixels_of(draw_distances(embedded, count_distances(embedded)))


def draw_distances(embedded: EmbeddedSet, histograms: DistanceHistograms, *, log: bool = False) -> Figure:
    """Densities above, and below what share of either kind is nearer than a distance.

    Args:
        embedded: the set.
        histograms: of it.
        log: densities on a logarithmic scale, which shows their tails.

    Raises:
        UserError: when matplotlib is not installed.
    """
    figure = make_figure(9, 7)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    figure.suptitle(_title(embedded, histograms), fontsize=11, color=INK, x=0.01, ha="left")
    _densities(above, histograms, log)
    _shares(below, histograms)
    below.set_xlabel(f"{embedded.metric} distance", color=INK)
    below.set_xlim(histograms.edges[0], histograms.edges[-1])
    return figure


def metrics_of(histograms: DistanceHistograms) -> list[list[str]]:
    """What the picture says in numbers: a row for each, name and value."""
    h = histograms
    threshold = "none: no negative pair to exclude" if h.threshold is None else repr(float(h.threshold))
    rows = [
        ["positive pairs", f"{h.positives.total:,}"],
        ["negative pairs", f"{h.negatives.total:,}"],
        ["mean of the positives", f"{number(h.positives.mean)} ± {number(h.positives.std)}"],
        ["mean of the negatives", f"{number(h.negatives.mean)} ± {number(h.negatives.std)}"],
        ["nearest and farthest pair", f"{number(h.lowest)} and {number(h.highest)}"],
        [f"threshold@fpr={h.fpr:g}", threshold],
        [f"tpr@fpr={h.fpr:g}", f"{h.tpr:.4f}"],
        ["area under the ROC curve", share(h.auc)],
        ["equal error rate", share(h.equal_error_rate)],
        ["d'", number(h.d_prime)],
    ]
    if beyond := _beyond(h):
        rows.append(["beyond the picture", beyond])
    return rows


def number(value: float) -> str:
    """Four digits; a dash for what there is none of."""
    return "–" if math.isnan(value) else f"{value:.4g}"


def share(value: float) -> str:
    """Four decimal places; a dash for what there is none of."""
    return "–" if math.isnan(value) else f"{value:.4f}"


def _title(embedded: EmbeddedSet, h: DistanceHistograms) -> str:
    step = f", step {embedded.facts['step']}" if "step" in embedded.facts else ""
    threshold = "no threshold" if h.threshold is None else f"threshold {number(h.threshold)}"
    lines = [
        f"{shorten(plain(embedded.title), 60, head=19)}{step}, {embedded.metric} distance",
        f"{h.positives.total:,} positive and {h.negatives.total:,} negative pairs",
        f"TPR {h.tpr:.1%} at FPR {_percent(h.fpr)} ({threshold})   AUC {share(h.auc)}   "
        f"equal error rate {share(h.equal_error_rate)}   d' {number(h.d_prime)}",
    ]
    if beyond := _beyond(h):
        lines.append(f"beyond the picture: {beyond}")
    if 0 < h.negatives.total * h.fpr < 1:
        lines.append(
            "There are fewer negative pairs than such an FPR needs: none of them is nearer than the threshold."
        )
    if h.highest - h.lowest <= 1e-3 * h.highest or not h.highest:
        lines.append("All distances are equal, or almost: the embedding has collapsed.")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:g}%"


def _beyond(h: DistanceHistograms) -> str:
    """How many pairs are nearer or farther than what is shown."""
    parts = []
    for name, place, extreme in (("nearer", 0, h.lowest), ("farther", -1, h.highest)):
        counts = int(h.positives.counts[place]), int(h.negatives.counts[place])
        if any(counts):
            parts.append(f"{counts[0]:,} positive and {counts[1]:,} negative pairs {name}, up to {number(extreme)}")
    return "; ".join(parts)


def _densities(axes: Axes, h: DistanceHistograms, log: bool) -> None:
    bins = 48 if h.positives.total < _FEW else 96
    edges = h.edges[:: BINS // bins]
    kinds = [("positive pairs", h.positives, _POSITIVE, "-"), ("negative pairs", h.negatives, _NEGATIVE, "--")]
    for name, spread, colour, style in kinds:
        density = spread.drawn(bins) / max(spread.total, 1) / (edges[1] - edges[0])
        label = f"{name} ({spread.total:,})"
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.22, linewidth=0)
        axes.stairs(density, edges, color=colour, linestyle=style, linewidth=1.8, label=label)
    if log:
        axes.set_yscale("log", nonpositive="clip")
        width = edges[1] - edges[0]
        axes.set_ylim(bottom=0.5 / max(h.positives.total, h.negatives.total) / width)
    else:
        axes.set_ylim(0, 1.15 * axes.dataLim.ymax or 1)  # room for the words at the top
    axes.set_ylabel("density" + (" (logarithmic)" if log else ""), color=INK)
    _threshold(axes, h, label=True)
    strip_axes(axes)
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)


def _shares(axes: Axes, h: DistanceHistograms) -> None:
    """The true and the false positive rate of each threshold."""
    lowest = 1.0
    kinds = [(h.positives, _POSITIVE, "-", "positives (TPR)"), (h.negatives, _NEGATIVE, "--", "negatives (FPR)")]
    for spread, colour, style, label in kinds:
        if spread.total:
            axes.plot(h.edges, spread.below(), color=colour, linestyle=style, linewidth=1.8, label=label)
            lowest = min(lowest, 0.5 / spread.total)
    axes.set_yscale("log", nonpositive="mask")
    axes.set_ylim(max(lowest, min(h.fpr / 30, 1e-4)), 1.6)
    axes.set_ylabel("share that is nearer", color=INK)
    _threshold(axes, h)
    if h.threshold is not None and h.edges[0] <= h.threshold <= h.edges[-1]:
        accepted = h.fpr if h.fpr * h.negatives.total >= 1 else 0.0
        for height, marker, colour in ((h.tpr, "o", _POSITIVE), (accepted, "s", _NEGATIVE)):
            if height > 0:
                look = {"color": colour, "markeredgecolor": INK, "markersize": 6}
                axes.plot([h.threshold], [height], marker, clip_on=False, zorder=3, **look)
    strip_axes(axes)
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)


def _threshold(axes: Axes, h: DistanceHistograms, *, label: bool = False) -> None:
    """A line at the threshold; where that is beyond the picture, words at its edge."""
    if h.threshold is None:
        return
    low, high = h.edges[0], h.edges[-1]
    inside = low <= h.threshold <= high
    if inside:
        axes.axvline(h.threshold, color=INK, linewidth=1.1, linestyle=":")
    if label:
        right = h.threshold > (low + high) / 2
        arrow = "" if inside else (" →" if right else "← ")
        text = f"FPR {_percent(h.fpr)}: {number(h.threshold)}"
        text = text + arrow if right else arrow + text
        axes.annotate(
            text,
            (min(max(h.threshold, low), high), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if right else 4, -4),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            fontsize=9,
            color=INK if inside else FAINT,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
        )
