"""Histograms of the distances of positive and negative pairs, over all pairs of an evaluation set."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from model.metrics.labels import MatchLists
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.ranking.operating_point import OperatingPoint
from model.metrics.ranking.retrieval import FPR
from runtime.errors import UserError
from runtime.parallel import cores
from visualization.sources.embedded_set import EmbeddedSet

BINS = 3840  # for shares and areas; the picture has fewer bins, a divisor of this

_ROWS, _COLUMNS = 256, 8192  # a tile of distances: 8 MB in single precision
_SAMPLE_ROWS, _SAMPLE_COLUMNS = 256, 2048  # negative pairs that decide the range
_TAIL = 5e-3  # share of each kind that may be beyond the range at either end, if it is far away
_MOST_KEPT = 2 * 10**8  # distances of negative pairs in memory for the operating point: 1.6 GB
_FAR = 1.0  # "far" is farther than this many spans of the others


@dataclass(frozen=True)
class Spread:
    """The distances of one kind of pairs.

    Attributes:
        counts: (BINS + 2,) int64; the first is below the lowest edge, the last from the highest edge up.
        mean, std: of all distances; NaN if there are none.
    """

    counts: np.ndarray
    mean: float
    std: float

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def drawn(self, bins: int) -> np.ndarray:
        """Counts in fewer bins over the same range: (bins,), a divisor of BINS."""
        return self.counts[1:-1].reshape(bins, -1).sum(1)

    def nearer(self) -> np.ndarray:
        """Share of pairs nearer than each edge, with 0 and 1 at the ends: (BINS + 3,); NaN if there are none."""
        with np.errstate(invalid="ignore"):
            return np.concatenate([[0], np.cumsum(self.counts)]) / np.float64(self.total)


@dataclass(frozen=True)
class DistanceHistograms:
    """Histograms of positive pairs (a query and a gallery image of its identity) and negative pairs (two identities).

    Pairs are those of the evaluation: queries with a match, without the pairs that the excluder removes.

    Attributes:
        edges: (BINS + 1,) in the unit of the metric.
        positives, negatives: the pairs.
        fpr, tpr: the operating point: the highest true positive rate at a false positive rate of at most `fpr`.
        threshold: its distance; None if there is no negative pair to exclude.
        lowest, highest: the extremes of all distances.
    """

    edges: np.ndarray
    positives: Spread
    negatives: Spread
    fpr: float
    tpr: float
    threshold: float | None
    lowest: float
    highest: float

    @property
    def auc(self) -> float:
        """The probability that a positive pair is nearer than a negative one; pairs in one bin count one half."""
        return float(np.trapezoid(self.positives.nearer(), self.negatives.nearer()))

    @property
    def equal_error_rate(self) -> float:
        """The error where the share of rejected positives equals that of accepted negatives, interpolated."""
        missed, accepted = 1 - self.positives.nearer(), self.negatives.nearer()
        return float(np.interp(0, accepted - missed, accepted))

    @property
    def d_prime(self) -> float:
        """Difference of the means, divided by the root of the mean variance; NaN where that is 0."""
        spread = np.sqrt((self.positives.std**2 + self.negatives.std**2) / 2)
        return float((self.negatives.mean - self.positives.mean) / spread) if spread > 0 else float("nan")


def count_distances(embedded: EmbeddedSet, fpr: float = FPR) -> DistanceHistograms:
    """Counts all pairs, in tiles of 256 x 8192: positives by their exact distances, negatives in single precision.

    `EmbeddingDistances.slack` bounds the rounding of single precision: little, unless a few embeddings are thousands of
    times longer than the others. The threshold is exact. Memory: a tile per processor core, the positive pairs, and a
    share `fpr` of the negative pairs.
    """
    distances, lists = embedded.distances(), embedded.task.lists
    queries, gallery = distances.shape
    count = queries * gallery - len(lists.columns) - len(lists.left_out)
    if fpr * count > _MOST_KEPT:
        raise UserError(
            f"--fpr {fpr:g}: too much memory for {count:,} negative pairs; set it to at most {_MOST_KEPT / count:.2g}"
        )
    point = OperatingPoint(fpr, count, distances)
    ordered = distances.pairs(np.repeat(np.arange(queries), np.diff(lists.offsets)), lists.columns)  # exact
    matches = np.asarray(distances.in_units(ordered))
    sample = _sample(distances, lists)
    low, high = _range([matches, sample])
    middle = float(sample.mean()) if len(sample) else 0.0  # sums about it lose no digits

    def look_at(start: int) -> tuple[np.ndarray, float, float, float, float]:
        """For 256 queries: counts (BINS + 2,), sum and squares about the middle, smallest and largest distance."""
        rows = np.arange(start, min(start + _ROWS, queries))
        counts, total, squares, least, largest = np.zeros(BINS + 2, np.int64), 0.0, 0.0, np.inf, -np.inf
        for first in range(0, gallery, _COLUMNS):
            tile, negative = _negatives(distances, lists, rows, slice(first, first + _COLUMNS))
            point.see(tile, rows, first)
            values = np.asarray(distances.in_units(tile[negative]))
            counts += _count(values, low, high)
            away = values.astype(np.float64) - middle
            total, squares = total + float(away.sum()), squares + float(np.square(away).sum())
            least = min(least, float(values.min(initial=np.inf)))
            largest = max(largest, float(values.max(initial=-np.inf)))
        return counts, total, squares, least, largest

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
        parts = pool.map(look_at, range(0, queries, _ROWS))
        counts, totals, squares, least, largest = zip(*parts, strict=True)
    metrics = point.metrics(ordered)
    return DistanceHistograms(
        edges=np.linspace(low, high, BINS + 1),
        positives=Spread(_count(matches, low, high), float(matches.mean()), float(matches.std())),
        negatives=_spread(np.sum(counts, axis=0), middle, sum(totals), sum(squares)),
        fpr=fpr,
        tpr=metrics[f"tpr@fpr={fpr:g}"],
        threshold=metrics.get(f"threshold@fpr={fpr:g}"),
        lowest=min(float(matches.min()), *least),
        highest=max(float(matches.max()), *largest),
    )


def _negatives(
    distances: EmbeddingDistances, lists: MatchLists, rows: np.ndarray, columns: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of queries to a part of the gallery, infinite where a pair is not negative; and a mask of negatives."""
    tile, part = distances.tile(rows, columns), lists.select(rows)
    start, stop, step = columns.indices(distances.shape[1])
    negative = np.ones(tile.shape, bool)
    for offsets, hidden in ((part.offsets, part.columns), (part.left_out_offsets, part.left_out)):
        places = np.repeat(np.arange(len(rows)), np.diff(offsets))
        here = (hidden >= start) & (hidden < stop) & ((hidden - start) % step == 0)
        negative[places[here], (hidden[here] - start) // step] = False
    tile[~negative] = np.inf
    return tile, negative


def _sample(distances: EmbeddingDistances, lists: MatchLists) -> np.ndarray:
    """Distances of negative pairs spread evenly over queries and gallery; all pairs if there are few."""
    queries, gallery = distances.shape
    rows = np.arange(0, queries, -(-queries // _SAMPLE_ROWS))
    tile, negative = _negatives(distances, lists, rows, slice(0, gallery, -(-gallery // _SAMPLE_COLUMNS)))
    return np.asarray(distances.in_units(tile[negative]), np.float64)


def _count(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Counts of values in each bin, (BINS + 2,) int64: first those below `low`, last those from `high` up."""
    places = np.clip((values - low) * (BINS / (high - low)) + 1, 0, BINS + 1).astype(np.intp)
    return np.bincount(places, minlength=BINS + 2)


def _spread(counts: np.ndarray, middle: float, total: float, squares: float) -> Spread:
    """A Spread from sums about `middle`."""
    number = int(counts.sum())
    if not number:
        return Spread(counts, float("nan"), float("nan"))
    mean = total / number
    return Spread(counts, middle + mean, float(np.sqrt(max(squares / number - mean**2, 0.0))))


def _range(kinds: list[np.ndarray]) -> tuple[float, float]:
    """The range of the histograms: all distances except a few far ones; from 0, unless all are far from 0."""
    lows, highs = [], []
    for values in kinds:
        if not len(values):
            continue
        low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
        room = _FAR * (high - low)
        lows.append(max(values.min(), low - room))
        highs.append(min(values.max(), high + room))
    low, high = float(min(lows)), float(max(highs))
    if high - low <= 1e-9 * high:  # all distances are equal
        return (0.0, 2 * high) if high > 0 else (0.0, 1.0)
    margin = 0.01 * (high - low)
    return (0.0 if low < 0.5 * high else low - margin), high + margin
