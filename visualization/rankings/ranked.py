"""Rankings of queries over the whole gallery, in the order of the evaluation, and the choice of queries to show.

All queries are ranked as by evaluate.py: in blocks, without a matrix of all distances. The images at the top are
looked up for the shown queries only.
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

_BLOCK = 64  # whole rows of distances in memory


@dataclass(frozen=True)
class QueryMetrics:
    """Metrics of each of a task's n queries.

    Attributes:
        aps: (n,) average precision, whose mean is `map`.
        margins: (n,) distance to the nearest image of another identity minus distance to the nearest match: below 0
            where the nearest image is wrong.
        first_ranks: (n,) rank of the first match, from 1.
    """

    aps: np.ndarray
    margins: np.ndarray
    first_ranks: np.ndarray


@dataclass(frozen=True)
class Ranked:
    """A gallery image in a ranking: position in the gallery, rank from 1, distance, whether it matches."""

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
        nearest_wrong: the nearest image of another identity; None if there is none.
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
    first = ranks.ranks[ranks.offsets[:-1]]
    return QueryMetrics(compute_per_query(ranks)["map"], both[:, 0] - both[:, 1], first)


def choose_queries(metrics: QueryMetrics, count: int, show: str, seed: int) -> list[tuple[str, int]]:
    """Queries to show: (kind, number among the task's queries).

    `mixed` is a third each of the worst, the best and random ones. Random ones depend on the seed alone, not on the
    metrics. Best and worst go by average precision, then by the margin. `all` keeps the order of the list.

    Args:
        metrics: of the queries to choose from.
        count: how many, at most.
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
    """The rankings of the task's queries with these numbers, in their order.

    Ranks are those of the evaluation: a non-match at the distance of a match comes first.
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
        # Non-matches take the ranks that no match has.
        free = np.setdiff1d(np.arange(1, len(columns) + top + 1), ranks.ranks[part])[:top]
        wrong = _ranked(task, distances, number, near, free, False)
        first = sorted((entry for entry in (*right, *wrong) if entry.rank <= top), key=attrgetter("rank"))
        nearest, ap = wrong[0] if wrong else None, float(aps[number])
        found.append(Ranking(int(query), ap, len(right), tuple(first), right[0], right[-1], nearest))
    return found


def _ranked(
    task: Task, distances: EmbeddingDistances, row: int, columns: np.ndarray, ranks: np.ndarray, right: bool
) -> list[Ranked]:
    """Columns of a row paired with ascending ranks: the nearest first, equals by column."""
    exact = distances.pairs(np.full(len(columns), row), columns)
    order = np.lexsort((columns, exact))
    return [
        Ranked(int(task.gallery[columns[place]]), int(rank), float(distances.in_units(exact[place])), right)
        for place, rank in zip(order, ranks, strict=False)
    ]


def _nearest(distances: EmbeddingDistances, rough: np.ndarray, row: int, count: int) -> np.ndarray:
    """The nearest columns of a row, and those that single precision cannot tell from them.

    Args:
        distances: of all.
        rough: (G,) the row's distances in single precision, infinite for unwanted columns.
        row: its number.
        count: how many, at most; at least 1.
    """
    count = min(count, int(np.isfinite(rough).sum()))
    if not count:
        return np.empty(0, np.int64)
    near = np.argpartition(rough, count - 1)[:count]
    farthest = distances.pairs(np.full(count, row), near).max()  # the nearest cannot be farther
    limit = farthest + distances.slack(np.array([row]), np.array([farthest]))[0]
    return np.flatnonzero(rough <= np.nextafter(rough.dtype.type(limit), rough.dtype.type(np.inf)))
