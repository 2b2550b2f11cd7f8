"""Figures of queries from the ranks of their matches: each a formula of few numbers."""

import numpy as np

from model.metrics.ranking.match_ranks import Ranks

CMC_RANKS = (1, 5, 10)
RECALL_RANKS = (1, 2, 4, 8)

DEFINITIONS = {
    "cmc": "cmc@k: share of queries with a match among the k nearest gallery images",
    "recall": "recall@k: the same as cmc@k",
    "map": "mean over queries of the non-interpolated average precision: mean over matches i of i / rank_i",
    "map_market": "as map, with the mean of the precisions before and at each match (trapezoid, Market-1501's code)",
    "minp": "mean over queries of R / rank of the last of its R matches",
    "map@r": "mean over queries of the sum of i / rank_i over the matches with rank_i <= R, divided by R",
    "r_precision": "mean over queries of the share of matches among the R nearest",
    "average_rank": "mean over queries of the mean rank of their matches, counted from 1",
    "first_rank": "mean over queries of the rank of the first match, counted from 1",
}


def query_figures(ranks: Ranks) -> dict[str, np.ndarray]:
    """Of Q queries, each with at least one match: name -> (Q,).

    `map`, `map_market` (the average precisions), `minp`, `map@r`, `r_precision`, `average_rank`, `first_rank`; their
    means over queries are the figures of that name.

    Sources: CMC and `map_market`: Zheng et al., Scalable Person Re-identification, ICCV 2015, and its published code;
    `minp`: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, section 4; `map@r` and
    `r_precision`: Musgrave et al., A Metric Learning Reality Check, section 2.
    """
    starts, lengths = ranks.offsets[:-1], np.diff(ranks.offsets)
    number = np.arange(1, len(ranks.ranks) + 1) - np.repeat(starts, lengths)  # i (M,)
    precision = number / ranks.ranks
    # At rank 1 nothing is before the match; the published code starts with precision 1.
    before = np.where(ranks.ranks == 1, 1.0, (number - 1) / np.maximum(ranks.ranks - 1, 1))
    near = ranks.ranks <= np.repeat(lengths, lengths)

    def mean(values: np.ndarray) -> np.ndarray:  # (M,) -> (Q,)
        return np.add.reduceat(values, starts, dtype=np.float64) / lengths

    return {
        "map": mean(precision),
        "map_market": mean((before + precision) / 2),
        "minp": lengths / ranks.ranks[ranks.offsets[1:] - 1],
        "map@r": mean(precision * near),
        "r_precision": mean(near),
        "average_rank": mean(ranks.ranks),
        "first_rank": ranks.ranks[starts].astype(np.float64),
    }


def means(figures: dict[str, np.ndarray]) -> dict[str, float]:
    """The figures of all queries together, by name: CMC and recall first."""
    first = figures["first_rank"]
    metrics = {f"cmc@{k}": float((first <= k).mean()) for k in CMC_RANKS}
    metrics |= {f"recall@{k}": float((first <= k).mean()) for k in RECALL_RANKS}
    return metrics | {name: float(values.mean()) for name, values in figures.items()}


def cmc_curve(first_ranks: np.ndarray, length: int) -> np.ndarray:
    """CMC@1 .. CMC@length (length,) of the ranks of the queries' first matches."""
    return np.cumsum(np.bincount(first_ranks.astype(np.int64), minlength=length + 1)[1 : length + 1]) / len(first_ranks)
