"""Mean ranks of the matches."""

import numpy as np

from model.metrics.ranking.match_ranks import Ranks

DEFINITIONS = {
    "average_rank": "mean over queries of the mean rank of their matches, counted from 1",
    "first_rank": "mean over queries of the rank of the first match, counted from 1",
}
BEST_BY = COLUMNS = ()


def per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    return {"average_rank": ranks.mean(ranks.ranks), "first_rank": ranks.first}
