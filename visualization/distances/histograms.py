"""How the distances of positive and of negative pairs are distributed, counted over all pairs of an evaluation set."""

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

BINS = 3840  # fine ones, for shares and areas; what is drawn is a divisor of it

_ROWS, _COLUMNS = 256, 8192  # of a tile of distances: 8 MB in single precision
_SAMPLE_ROWS, _SAMPLE_COLUMNS = 256, 2048  # of negative pairs that tell the range
_TAIL = 5e-3  # share of either kind that may lie beyond the range at each end, if it lies far away
_MOST_KEPT = 2 * 10**8  # negative pairs whose distances are held for the operating point: 1.6 GB
_FAR = 1.0  # far: more than so many spans of the others


@dataclass(frozen=True)
class Spread:
    """One kind of pairs.

    Attributes:
        counts: (BINS + 2,) int64, the first below the lowest edge, the last from the highest one on.
        mean, std: of all of them, NaN without any.
    """

    counts: np.ndarray
    mean: float
    std: float

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def drawn(self, bins: int) -> np.ndarray:
        """Counts of fewer bins over the same range: (bins,), a divisor of BINS."""
        return self.counts[1:-1].reshape(bins, -1).sum(1)

    def below(self) -> np.ndarray:
        """Share of pairs nearer than each edge: (BINS + 1,), NaN without any."""
        with np.errstate(invalid="ignore"):
            return np.cumsum(self.counts[:-1]) / np.float64(self.total)


@dataclass(frozen=True)
class DistanceHistograms:
    """Positive pairs: a query and a gallery image of its identity. Negative pairs: of two identities.

    Pairs are those that the evaluation counts: of queries that have a match, without what the excluder leaves out.

    Attributes:
        edges: (BINS + 1,) in the unit of the metric.
        positives, negatives: the pairs.
        fpr, tpr: the operating point: of all false positive rates up to `fpr` the highest true positive rate.
        threshold: its distance; None where there is no negative pair to exclude.
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
        """Share of (positive, negative) pairs of pairs with the positive nearer, a half where they share a bin."""
        if not self.negatives.total:
            return float("nan")
        positives = self.positives.counts / self.positives.total
        farther = 1 - np.cumsum(self.negatives.counts) / self.negatives.total
        return float(positives @ (farther + 0.5 * self.negatives.counts / self.negatives.total))

    @property
    def equal_error_rate(self) -> float:
        """Where the share of rejected positives is that of accepted negatives, interpolated between edges."""
        if not self.negatives.total:
            return float("nan")
        ends = [0.0], [1.0]
        missed = np.concatenate([[1.0], 1 - self.positives.below(), [0.0]])
        accepted = np.concatenate([ends[0], self.negatives.below(), ends[1]])
        after = int(np.argmax(accepted >= missed))
        if not after:
            return float(accepted[0])
        gap = missed[after - 1] - accepted[after - 1], accepted[after] - missed[after]
        share = gap[0] / (gap[0] + gap[1])
        return float(accepted[after - 1] + share * (accepted[after] - accepted[after - 1]))

    @property
    def d_prime(self) -> float:
        """Difference of the means over the root of the mean variance; NaN where that is 0."""
        spread = np.sqrt((self.positives.std**2 + self.negatives.std**2) / 2)
        return float((self.negatives.mean - self.positives.mean) / spread) if spread > 0 else float("nan")


def count_distances(embedded: EmbeddedSet, fpr: float = FPR) -> DistanceHistograms:
    """Counts all pairs, in tiles of 256 x 8192: positives by their exact distances, negatives in single precision.

    Single precision rounds as `EmbeddingDistances.slack` says: a little, unless a few embeddings are thousands of times
    longer than the others. The threshold is exact. Memory: a tile on each processor core, the positive pairs, and a
    share `fpr` of the negative ones.
    """
    return _Counting(embedded, fpr).run()


class _Counting:
    """All that is known before the pairs are passed over, and the passing over."""

    def __init__(self, embedded: EmbeddedSet, fpr: float) -> None:
        self._lists: MatchLists = embedded.task.lists
        self._distances: EmbeddingDistances = embedded.distances()
        queries, gallery = self._distances.shape
        columns = self._lists.columns
        count = queries * gallery - len(columns) - len(self._lists.left_out)
        if fpr * count > _MOST_KEPT:
            raise UserError(
                f"--fpr {fpr:g} of {count:,} negative pairs: too many to be held; at most {_MOST_KEPT / count:.2g}"
            )
        self._point = OperatingPoint(fpr, count, self._distances)
        rows = np.repeat(np.arange(queries), np.diff(self._lists.offsets))
        self._ordered = self._distances.pairs(rows, columns)  # (M,) exact, in the unit that orders
        self._matches = self._distances.in_units(self._ordered)
        sample = self._sample()
        self._low, self._high = _range([self._matches, sample])
        self._middle = np.float32(sample.mean() if len(sample) else 0.0)  # sums about it do not cancel

    def _hidden(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of some queries that are not negative: (h,) places among these queries, and (h,) columns."""
        part, numbers = self._lists.select(rows), np.arange(len(rows))
        places = [np.repeat(numbers, np.diff(offsets)) for offsets in (part.offsets, part.left_out_offsets)]
        return np.concatenate(places), np.concatenate([part.columns, part.left_out])

    def _sample(self) -> np.ndarray:
        """Distances of negative pairs spread evenly over queries and gallery; all of them where there are few."""
        queries, gallery = self._distances.shape
        every = -(-gallery // _SAMPLE_COLUMNS)
        rows = np.arange(0, queries, -(-queries // _SAMPLE_ROWS))
        tile = self._distances.tile(rows, slice(0, gallery, every))
        places, columns = self._hidden(rows)
        there = columns % every == 0
        shown = np.ones(tile.shape, bool)
        shown[places[there], columns[there] // every] = False
        return self._distances.in_units(tile[shown]).astype(np.float64)

    def run(self) -> DistanceHistograms:
        starts = range(0, self._distances.shape[0], _ROWS)
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
            counts, sums, squares, lows, highs = zip(*pool.map(self._block, starts), strict=True)
        negatives = _spread(sum(counts), float(self._middle), sum(sums), sum(squares))
        places = self._bins(self._matches.copy())
        positives = Spread(
            np.bincount(places, minlength=BINS + 2), float(self._matches.mean()), float(self._matches.std())
        )
        metrics = self._point.metrics(self._ordered)
        fpr = self._point.fpr
        lowest, highest = min(float(self._ordered.min()), *lows), max(float(self._ordered.max()), *highs)
        return DistanceHistograms(
            np.linspace(self._low, self._high, BINS + 1),
            positives,
            negatives,
            fpr,
            metrics[f"tpr@fpr={fpr:g}"],
            metrics.get(f"threshold@fpr={fpr:g}"),
            self._distances.in_units(lowest),
            self._distances.in_units(highest),
        )

    def _block(self, start: int) -> tuple[np.ndarray, float, float, float, float]:
        """Of 256 queries: counts (BINS + 2,), sum and squares about the middle, extremes in the unit that orders."""
        queries, gallery = self._distances.shape
        rows = np.arange(start, min(start + _ROWS, queries))
        places, columns = self._hidden(rows)
        counts, total, squares, low, high = np.zeros(BINS + 2, np.int64), 0.0, 0.0, np.inf, -np.inf
        for first in range(0, gallery, _COLUMNS):
            tile = self._distances.tile(rows, slice(first, min(first + _COLUMNS, gallery)))
            here = (columns >= first) & (columns < first + _COLUMNS)
            hidden = np.unique(np.ravel_multi_index((places[here], columns[here] - first), tile.shape))
            flat = tile.reshape(-1)
            flat[hidden] = np.inf
            self._point.see(tile, rows, first)
            low = min(low, float(flat.min()))
            flat[hidden] = 0
            high = max(high, float(flat.max()))
            flat = self._distances.in_units(flat)
            flat[hidden] = self._middle  # adds nothing to the sums, and its bin is known
            away = flat - self._middle
            total += float(away.sum(dtype=np.float64))
            squares += float(np.square(away, out=away).sum(dtype=np.float64))
            counts += np.bincount(self._bins(flat), minlength=BINS + 2)
            counts[self._bins(np.full(1, self._middle, flat.dtype))] -= len(hidden)
        return counts, total, squares, low, high

    def _bins(self, values: np.ndarray) -> np.ndarray:
        """The numbers of the bins, 0 and BINS + 1 beyond the range; destroys the values."""
        values -= values.dtype.type(self._low)
        values *= values.dtype.type(BINS / (self._high - self._low))
        values += 1  # so that rounding towards 0 is rounding down
        return np.clip(values, 0, BINS + 1, out=values).astype(np.intp)


def _spread(counts: np.ndarray, middle: float, total: float, squares: float) -> Spread:
    """A Spread from sums about `middle`."""
    number = int(counts.sum())
    if not number:
        return Spread(counts, float("nan"), float("nan"))
    mean = total / number
    return Spread(counts, middle + mean, float(np.sqrt(max(squares / number - mean**2, 0.0))))


def _range(kinds: list[np.ndarray]) -> tuple[float, float]:
    """What to show of distances: all of it, but for few that are far away; from 0, unless all are far from it."""
    lows, highs = [], []
    for values in kinds:
        if not len(values):
            continue
        low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
        room = _FAR * (high - low)
        lows.append(max(values.min(), low - room))
        highs.append(min(values.max(), high + room))
    low, high = float(min(lows)), float(max(highs))
    if high - low <= 1e-9 * high:  # one point: all of the same distance
        return (0.0, 2 * high) if high > 0 else (0.0, 1.0)
    margin = 0.01 * (high - low)
    return (0.0 if low < 0.5 * high else low - margin), high + margin
