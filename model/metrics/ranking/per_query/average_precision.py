"""Average precision, by two common definitions.

Source of `map_market`: the published code of Zheng et al., Scalable Person Re-identification, ICCV 2015.
"""

import numpy as np

from model.metrics.ranking.match_ranks import Ranks

DEFINITIONS = {
    "map": "mean over queries of the non-interpolated average precision: mean over matches i of i / rank_i",
    "map_market": "like map, with the mean of the precisions before and at each match (trapezoid, Market-1501's code)",
}
BEST_BY = ("map", "map_market")
COLUMNS = ("map",)


def per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    number = ranks.number
    precision = number / ranks.ranks
    # Nothing ranks before rank 1: there the published code takes precision 1.
    before = np.where(ranks.ranks == 1, 1.0, (number - 1) / np.maximum(ranks.ranks - 1, 1))
    return {"map": ranks.mean(precision), "map_market": ranks.mean((before + precision) / 2)}
