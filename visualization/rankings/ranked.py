"""The rankings of some queries over a whole gallery, in the order that the evaluation counts by, and whose to look at.

All queries are ranked as evaluate.py ranks them: in blocks, without a matrix of all distances. Only of the queries that
are shown is it found out which images are at the top.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.ranking.match_ranks import TILE_COLUMNS, rank_matches
from model.metrics.ranking.per_query import compute_per_query
from visualization.sources.embedded_set import EmbeddedSet

_BLOCK = 64  # queries whose whole rows of distances are held at a time


@dataclass(frozen=True)
class QueryMetrics:
    """How well each of n queries is answered.

    Attributes:
        rows: (n,) their numbers among the task's queries, ascending.
        aps: (n,) average precision (`map`'s).
        margins: (n,) distance to the nearest image of another identity less that to the nearest of their own.
    """

    rows: np.ndarray
    aps: np.ndarray
    margins: np.ndarray


class Ranked(NamedTuple):
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


def rank_queries(embedded: EmbeddedSet, rows: np.ndarray | None = None) -> QueryMetrics:
    """Ranks queries over the whole gallery.

    Args:
        embedded: the set.
        rows: (n,) which of the task's queries, ascending; None for all.
    """
    rows = np.arange(len(embedded.task.queries)) if rows is None else np.asarray(rows)
    distances, lists = _distances(embedded, rows), embedded.task.lists.select(rows)
    nearest_wrong = np.full(len(rows), np.inf)

    def see(tile: np.ndarray, block: np.ndarray, first: int) -> None:
        nearest_wrong[block] = np.minimum(nearest_wrong[block], tile.min(1))

    ranks = rank_matches(distances, lists, see=see)
    nearest_right = ranks.distances[ranks.offsets[:-1]]
    both = np.array([[distances.in_units(d) for d in pair] for pair in zip(nearest_wrong, nearest_right, strict=True)])
    return QueryMetrics(rows, compute_per_query(ranks)["map"], both[:, 0] - both[:, 1])


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
        return [("", int(row)) for row in metrics.rows]
    count = min(count, len(metrics.rows))
    numbers = {"best": (count, 0, 0), "worst": (0, count, 0), "random": (0, 0, count)}
    third = count // 3
    best, worst, random = numbers.get(show, ((count - third) // 2, count - third - (count - third) // 2, third))
    drawn = np.random.default_rng(seed).permutation(len(metrics.rows))[:random]
    order = np.lexsort((metrics.rows, -metrics.margins, -metrics.aps))
    order = order[~np.isin(order, drawn)]
    kinds = {"worst": order[::-1][:worst], "best": order[:best], "random": np.sort(drawn)}
    return [(kind, int(metrics.rows[place])) for kind, places in kinds.items() for place in places]


def find_rankings(embedded: EmbeddedSet, rows: np.ndarray | list[int], top: int) -> list[Ranking]:
    """The rankings of some of the task's queries, by their numbers, in that order.

    Ranks are those of the evaluation: a non-match at the distance of a match stands before it.
    """
    rows, inverse = np.unique(np.asarray(rows, np.int64), return_inverse=True)
    found: list[Ranking] = []
    for start in range(0, len(rows), _BLOCK):
        found += _rankings(embedded, rows[start : start + _BLOCK], top)
    return [found[place] for place in inverse]


def _distances(embedded: EmbeddedSet, rows: np.ndarray) -> EmbeddingDistances:
    task = embedded.task
    query = embedded.query.emb[task.queries[rows]]
    return EmbeddingDistances(query, task.of_gallery(embedded.gallery.emb), embedded.metric)


def _rankings(embedded: EmbeddedSet, rows: np.ndarray, top: int) -> list[Ranking]:
    task, distances, lists = embedded.task, _distances(embedded, rows), embedded.task.lists.select(rows)
    ranks = rank_matches(distances, lists)
    aps = compute_per_query(ranks)["map"]
    width = distances.shape[1]
    starts = range(0, width, TILE_COLUMNS)
    rough = np.concatenate(
        [distances.tile(np.arange(len(rows)), slice(s, min(s + TILE_COLUMNS, width))) for s in starts], axis=1
    )  # (q, G)
    found = []
    for number, row in enumerate(rows):
        part = slice(lists.offsets[number], lists.offsets[number + 1])
        out = slice(lists.left_out_offsets[number], lists.left_out_offsets[number + 1])
        rough[number, lists.columns[part]] = rough[number, lists.left_out[out]] = np.inf
        columns = lists.columns[part]
        exact = distances.pairs(np.full(len(columns), number), columns)
        matches = [
            Ranked(int(task.gallery[columns[place]]), int(rank), distances.in_units(exact[place]), True)
            for place, rank in zip(np.lexsort((columns, exact)), ranks.ranks[part], strict=True)
        ]
        taken = {match.rank: match for match in matches}
        others = _nearest(distances, rough[number], number, top)
        entries: list[Ranked] = []
        wrong = 0
        for rank in range(1, top + 1):
            if rank in taken:
                entries.append(taken[rank])
            elif wrong < len(others):
                column, distance = others[wrong]
                entries.append(Ranked(int(task.gallery[column]), rank, distances.in_units(distance), False))
                wrong += 1
        nearest_wrong = None
        if others:
            rank = next(rank for rank in range(1, len(taken) + 2) if rank not in taken)
            column, distance = others[0]
            nearest_wrong = Ranked(int(task.gallery[column]), rank, distances.in_units(distance), False)
        query = int(task.queries[row])
        found.append(
            Ranking(query, float(aps[number]), len(matches), tuple(entries), matches[0], matches[-1], nearest_wrong)
        )
    return found


def _nearest(distances: EmbeddingDistances, rough: np.ndarray, row: int, count: int) -> list[tuple[int, float]]:
    """The nearest columns of a row and their exact distances, in the distances' own unit; equals by column.

    Args:
        distances: of all.
        rough: (G,) the row's distances in single precision, infinite for what is not wanted.
        row: its number.
        count: how many, at least 1, if there are so many.
    """
    count = min(count, int(np.isfinite(rough).sum()))
    if not count:
        return []
    near = np.argpartition(rough, count - 1)[:count]
    farthest = distances.pairs(np.full(count, row), near).max()  # none of the nearest can be farther than this
    limit = farthest + distances.slack(np.array([row]), np.array([farthest]))[0]
    near = np.flatnonzero(rough <= np.nextafter(rough.dtype.type(limit), rough.dtype.type(np.inf)))
    exact = distances.pairs(np.full(len(near), row), near)
    order = np.lexsort((near, exact))[:count]
    return [(int(near[place]), float(exact[place])) for place in order]
