"""MAP@R.

Source: Musgrave et al., A Metric Learning Reality Check, section 2.
"""

import numpy as np

from model.metrics.ranking.match_ranks import Ranks

DEFINITIONS = {"map@r": "mean over queries of the sum of i / rank_i over the matches with rank_i <= R, divided by R"}
BEST_BY = ("map@r",)
COLUMNS = ()


def per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    return {"map@r": ranks.mean(ranks.number / ranks.ranks * ranks.near)}
