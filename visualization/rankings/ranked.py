"""The rankings of some queries over a whole gallery, in the order that the evaluation counts by, and whose to look at.

All queries are ranked as evaluate.py ranks them: in blocks, without a matrix of all distances. Only of the queries that
are shown is it found out which images are at the top.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.ranking.match_ranks import TILE_COLUMNS, rank_matches
from model.metrics.ranking.per_query import compute_per_query
from model.metrics.ranking.retrieval import Task
from visualization.sources.embedded_set import EmbeddedSet

_BLOCK = 64  # queries whose whole rows of distances are held at a time


@dataclass(frozen=True)
class QueryMetrics:
    """How well each of a task's n queries is answered.

    Attributes:
        aps: (n,) average precision (`map`'s).
        margins: (n,) distance to the nearest image of another identity less that to the nearest of their own.
    """

    aps: np.ndarray
    margins: np.ndarray


@dataclass(frozen=True)
class Ranked:
    """A gallery image in a ranking: its position in the gallery, its rank from 1, its distance, whether it matches."""

    index: int
    rank: int
    distance: float
    right: bool


@dataclass(frozen=True)
class Ranking:
    """The top of a query's ranking.

    Attributes:
        query: the query's position among the queries of the set.
        ap: its average precision.
        matches: the number of its matches in the gallery.
        top: the nearest images, from rank 1.
        first: its first match.
        last: its last match, the farthest.
        nearest_wrong: the nearest image of another identity; None where there is none.
    """

    query: int
    ap: float
    matches: int
    top: tuple[Ranked, ...]
    first: Ranked
    last: Ranked
    nearest_wrong: Ranked | None


def rank_queries(embedded: EmbeddedSet) -> QueryMetrics:
    """Ranks all of the task's queries over the whole gallery."""
    distances = embedded.distances()
    nearest_wrong = np.full(len(embedded.task.queries), np.inf)

    def see(tile: np.ndarray, block: np.ndarray, first: int) -> None:
        nearest_wrong[block] = np.minimum(nearest_wrong[block], tile.min(1))

    ranks = rank_matches(distances, embedded.task.lists, see=see)
    nearest_right = ranks.distances[ranks.offsets[:-1]]
    both = np.array([[distances.in_units(d) for d in pair] for pair in zip(nearest_wrong, nearest_right, strict=True)])
    return QueryMetrics(compute_per_query(ranks)["map"], both[:, 0] - both[:, 1])


def choose_queries(metrics: QueryMetrics, count: int, show: str, seed: int) -> list[tuple[str, int]]:
    """Which queries to look at: (kind, number among the task's queries).

    `mixed` is a third at random, the rest half the best and half the worst; random ones depend on the seed alone, not
    on the metrics. Best and worst are by average precision, equals by the margin. `all` is all, in their order.

    Args:
        metrics: of the queries to choose from.
        count: how many, if there are so many.
        show: mixed, best, worst, random or all.
        seed: of the random choice.
    """
    if show == "all":
        return [("", row) for row in range(len(metrics.aps))]
    count = min(count, len(metrics.aps))
    numbers = {"best": (count, 0, 0), "worst": (0, count, 0), "random": (0, 0, count)}
    third = count // 3
    best, worst, random = numbers.get(show, ((count - third) // 2, count - third - (count - third) // 2, third))
    drawn = np.random.default_rng(seed).permutation(len(metrics.aps))[:random]
    order = np.lexsort((-metrics.margins, -metrics.aps))
    order = order[~np.isin(order, drawn)]
    kinds = {"worst": order[::-1][:worst], "best": order[:best], "random": np.sort(drawn)}
    return [(kind, int(place)) for kind, places in kinds.items() for place in places]


def find_rankings(embedded: EmbeddedSet, rows: Sequence[int] | np.ndarray, top: int) -> list[Ranking]:
    """The rankings of some of the task's queries, by their numbers, in that order.

    Ranks are those of the evaluation: a non-match at the distance of a match stands before it.
    """
    rows, inverse = np.unique(np.asarray(rows, np.int64), return_inverse=True)
    found: list[Ranking] = []
    for start in range(0, len(rows), _BLOCK):
        found += _rankings(embedded.with_queries(rows[start : start + _BLOCK]), top)
    return [found[place] for place in inverse]


def _rankings(embedded: EmbeddedSet, top: int) -> list[Ranking]:
    task, distances, lists = embedded.task, embedded.distances(), embedded.task.lists
    ranks = rank_matches(distances, lists)
    aps = compute_per_query(ranks)["map"]
    width, numbers = distances.shape[1], np.arange(len(task.queries))
    tiles = [distances.tile(numbers, slice(s, min(s + TILE_COLUMNS, width))) for s in range(0, width, TILE_COLUMNS)]
    rough = np.concatenate(tiles, axis=1)  # (q, G)
    found = []
    for number, query in enumerate(task.queries):
        part = slice(lists.offsets[number], lists.offsets[number + 1])
        out = slice(lists.left_out_offsets[number], lists.left_out_offsets[number + 1])
        columns = lists.columns[part]
        rough[number, columns] = rough[number, lists.left_out[out]] = np.inf
        right = _ranked(task, distances, number, columns, ranks.ranks[part], True)
        near = _nearest(distances, rough[number], number, top)
        # Before the last of these stand others of them and matches: they have the ranks that no match has.
        free = np.setdiff1d(np.arange(1, len(columns) + top + 1), ranks.ranks[part])[:top]
        wrong = _ranked(task, distances, number, near, free, False)
        first = sorted((entry for entry in (*right, *wrong) if entry.rank <= top), key=attrgetter("rank"))
        nearest, ap = wrong[0] if wrong else None, float(aps[number])
        found.append(Ranking(int(query), ap, len(right), tuple(first), right[0], right[-1], nearest))
    return found


def _ranked(
    task: Task, distances: EmbeddingDistances, row: int, columns: np.ndarray, ranks: np.ndarray, right: bool
) -> list[Ranked]:
    """Columns of a row with ascending ranks, as many as there are of both: the nearest first, equals by column."""
    exact = distances.pairs(np.full(len(columns), row), columns)
    order = np.lexsort((columns, exact))
    return [
        Ranked(int(task.gallery[columns[place]]), int(rank), float(distances.in_units(exact[place])), right)
        for place, rank in zip(order, ranks, strict=False)
    ]


def _nearest(distances: EmbeddingDistances, rough: np.ndarray, row: int, count: int) -> np.ndarray:
    """The nearest columns of a row, and what single precision cannot tell from them.

    Args:
        distances: of all.
        rough: (G,) the row's distances in single precision, infinite for what is not wanted.
        row: its number.
        count: how many, at least 1, if there are so many.
    """
    count = min(count, int(np.isfinite(rough).sum()))
    if not count:
        return np.empty(0, np.int64)
    near = np.argpartition(rough, count - 1)[:count]
    farthest = distances.pairs(np.full(count, row), near).max()  # none of the nearest can be farther than this
    limit = farthest + distances.slack(np.array([row]), np.array([farthest]))[0]
    return np.flatnonzero(rough <= np.nextafter(rough.dtype.type(limit), rough.dtype.type(np.inf)))
