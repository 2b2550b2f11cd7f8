"""The worst queries and the ranks of all first matches, for classes with too few queries to compare."""

from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np

from model.evaluation.by_class.analysis import Analysis
from runtime.printable import shorten
from runtime.tables import align
from visualization.rankings.ranked import Ranking, find_rankings, rank_queries
from visualization.sources.embedded_set import EmbeddedSet

FEW_QUERIES = 5  # with fewer in the median class, recall@1 by class takes few values, and its intervals are wide


class FirstRanks(NamedTuple):
    """The number of queries whose first match has a rank in each range: 1, 2, 3-4, 5-8, ... up to the largest rank."""

    labels: list[str]
    counts: list[int]


@dataclass(frozen=True)
class Worst:
    """What helps where classes have few queries.

    Attributes:
        note: their number, and its consequence.
        rankings: the worst queries with a wrong nearest image: by the highest rank of the first match, then by how much
            nearer the wrong image is than the match.
        first_ranks: of all queries.
    """

    note: str
    rankings: list[Ranking]
    first_ranks: FirstRanks

    def as_text(self, embedded: EmbeddedSet) -> str:
        """A table of the worst queries for the terminal."""
        if not self.rankings:
            return "the nearest image of every query is right"
        rows = [["worst queries", "identity", "nearest image", "distance", "first match: rank", "distance"]]
        query, gallery = embedded.query, embedded.gallery
        for one in self.rankings:
            wrong = one.nearest_wrong
            found = [gallery.identities[wrong.index], f"{wrong.distance:.4g}"] if wrong else ["", ""]
            names = [query.paths[one.query], query.identities[one.query], found[0]]
            short = [shorten(str(name), 40, head=13) for name in names]
            rows.append([*short, found[1], f"{one.first.rank:,}", f"{one.first.distance:.4g}"])
        return align(rows, left=3)


def has_few_queries(analysis: Analysis) -> bool:
    """Whether the median class has too few queries for metrics by class."""
    return bool(analysis.classes) and _median_queries(analysis) < FEW_QUERIES


def find_worst(embedded: EmbeddedSet, analysis: Analysis, count: int) -> Worst:
    """Ranks the queries and finds at most `count` of the worst."""
    metrics = rank_queries(embedded)
    order = np.lexsort((metrics.margins, -metrics.first_ranks))
    order = order[metrics.first_ranks[order] > 1][:count]
    queries = _median_queries(analysis)
    each = "1 query" if queries == 1 else f"{queries:g} queries"
    values = "0 or 100 %" if queries == 1 else "one of few values"
    note = f"The median class has {each}, so recall@1 of a class is {values} and says little."
    return Worst(note, find_rankings(embedded, order, 1), count_first_ranks(metrics.first_ranks))


def count_first_ranks(ranks: np.ndarray) -> FirstRanks:
    """Counts ranks (n,), from 1, in ranges that double: 1, 2, 3-4, 5-8, ..."""
    counts = np.bincount(np.ceil(np.log2(ranks)).astype(int)).tolist()
    ends = [2**place for place in range(len(counts))]
    return FirstRanks([f"{end // 2 + 1:,}–{end:,}" if end > 2 else str(end) for end in ends], counts)


def _median_queries(analysis: Analysis) -> float:
    return float(median(one.queries for one in analysis.classes))
