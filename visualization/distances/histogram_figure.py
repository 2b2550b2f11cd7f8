"""The picture of `visualize.py distances`: histograms of the distances of positive and negative pairs."""

import math

import numpy as np

from visualization.distances.histograms import BINS, DistanceHistograms, count_distances
from visualization.kit.colours import INK, PALETTE
from visualization.kit.plotting import Figure, make_figure, pixels_of, plain
from visualization.sources.embedded_set import EmbeddedSet

_POSITIVE, _NEGATIVE = PALETTE[4], PALETTE[5]  # blue and vermilion; negative lines are dashed, too
_FEW = 1000  # fewer positives than this need wider bins

NOTES = [
    "Positive pair: a query and a gallery image of its identity. Negative pair: two identities. All pairs of queries "
    "with a match are counted, except those that the excluder removes; nothing is sampled.",
    "A pair nearer than the threshold is accepted as a match. True positive rate (TPR): share of positive pairs that "
    "are accepted. False positive rate (FPR): share of negative pairs that are accepted. The threshold is the "
    "distance of the first negative pair that the FPR excludes. All three are those of evaluate.py.",
    f"Area under the ROC curve (AUC), from {BINS:,} bins: the probability that a positive pair is nearer than a "
    "negative one; 0.5 is chance. Equal error rate: the error at the threshold where the share of rejected positives "
    "equals that of accepted negatives. d': distance between the two means in standard deviations (root of the mean "
    "of both variances).",
]


def picture_distances(embedded: EmbeddedSet) -> np.ndarray:
    """The histograms of a set, for TensorBoard: (H, W, 3) uint8, the same bits for the same embeddings."""
    return pixels_of(draw_distances(embedded, count_distances(embedded)))


def draw_distances(embedded: EmbeddedSet, histograms: DistanceHistograms, *, log: bool = False) -> Figure:
    """Draws densities above, and below them the share of each kind that is nearer than a distance.

    Args:
        embedded: the set.
        histograms: of its distances.
        log: logarithmic densities, which show the tails.
    """
    h = histograms
    figure = make_figure(9, 7)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    figure.suptitle(_title(embedded, h), fontsize=11, color=INK, x=0.01, ha="left")
    bins = 48 if h.positives.total < _FEW else 96
    edges = h.edges[:: BINS // bins]
    width, lowest = edges[1] - edges[0], 1.0
    kinds = [
        (h.positives, "positive", "TPR", _POSITIVE, "-"),
        (h.negatives, "negative", "FPR", _NEGATIVE, "--"),
    ]
    for spread, kind, rate, colour, style in kinds:
        density, label = spread.drawn(bins) / max(spread.total, 1) / width, f"{kind} pairs ({spread.total:,})"
        above.stairs(density, edges, fill=True, color=colour, alpha=0.22, linewidth=0)
        above.stairs(density, edges, color=colour, linestyle=style, linewidth=1.8, label=label)
        if spread.total:
            below.plot(
                h.edges, spread.nearer()[1:-1], color=colour, ls=style, linewidth=1.8, label=f"{kind} pairs: {rate}"
            )
            lowest = min(lowest, 0.5 / spread.total)
    above.set_ylim(bottom=0)
    if log:
        above.set_yscale("log", nonpositive="clip")
        above.set_ylim(bottom=0.5 / max(h.positives.total, h.negatives.total) / width)
    below.set_yscale("log", nonpositive="mask")
    below.set_ylim(max(lowest, min(h.fpr / 30, 1e-4)), 1.6)
    below.set_xlim(h.edges[0], h.edges[-1])
    above.set_ylabel(f"density of pairs{' (logarithmic)' * log}", color=INK)
    below.set_ylabel("share of pairs nearer (log)", color=INK)
    below.set_xlabel(f"{embedded.metric} distance of a pair", color=INK)
    if h.threshold is not None:
        accepted = h.fpr if h.fpr * h.negatives.total >= 1 else 0.0
        for height, marker, colour in ((h.tpr, "o", _POSITIVE), (accepted, "s", _NEGATIVE)):
            below.plot(h.threshold, height, marker, color=colour, markeredgecolor=INK, zorder=3)
        above.axvline(h.threshold, color=INK, linewidth=1.1, linestyle=":", label=_threshold(h))
        below.axvline(h.threshold, color=INK, linewidth=1.1, linestyle=":")
    for axes, place in ((above, "best"), (below, "lower right")):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc=place, framealpha=0.9, edgecolor="none", fontsize=9)
    return figure


def metrics_of(histograms: DistanceHistograms) -> list[list[str]]:
    """The numbers in the picture: rows of name and value."""
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
        ["area under the ROC curve", number(h.auc, ".4f")],
        ["equal error rate", number(h.equal_error_rate, ".4f")],
        ["d'", number(h.d_prime)],
    ]
    if beyond := _beyond(h):
        rows.append(["beyond the picture", beyond])
    return rows


def number(value: float, form: str = ".4g") -> str:
    """The value with four digits, or in another format; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:{form}}"


def _threshold(h: DistanceHistograms) -> str:
    told = "no threshold" if h.threshold is None else f"threshold {number(h.threshold)}"
    return f"FPR {100 * h.fpr:g}% ({told})"


def _title(embedded: EmbeddedSet, h: DistanceHistograms) -> str:
    lines = [
        plain(embedded.heading()),
        f"{h.positives.total:,} positive and {h.negatives.total:,} negative pairs",
        f"TPR {h.tpr:.1%} at {_threshold(h)}   AUC {number(h.auc, '.4f')}   "
        f"equal error rate {number(h.equal_error_rate, '.4f')}   d' {number(h.d_prime)}",
    ]
    if beyond := _beyond(h):
        lines.append(f"beyond the picture: {beyond}")
    if 0 < h.negatives.total * h.fpr < 1:
        lines.append("Too few negative pairs for this FPR: none of them is nearer than the threshold.")
    if h.highest - h.lowest <= 1e-3 * h.highest or not h.highest:
        lines.append("All distances are equal or almost equal: the embedding has collapsed.")
    return "\n".join(lines)


def _beyond(h: DistanceHistograms) -> str:
    """The number of pairs nearer or farther than the picture's range."""
    parts = []
    for name, place, extreme in (("nearer", 0, h.lowest), ("farther", -1, h.highest)):
        counts = int(h.positives.counts[place]), int(h.negatives.counts[place])
        if any(counts):
            parts.append(f"{counts[0]:,} positive and {counts[1]:,} negative pairs {name}, up to {number(extreme)}")
    return "; ".join(parts)
