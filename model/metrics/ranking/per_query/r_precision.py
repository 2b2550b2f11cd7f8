"""R-precision.

Source: Musgrave et al., A Metric Learning Reality Check, section 2.
"""

import numpy as np

from model.metrics.ranking.match_ranks import Ranks

DEFINITIONS = {"r_precision": "mean over queries of the share of matches among the R nearest"}
BEST_BY = ("r_precision",)
COLUMNS = ()


def per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    return {"r_precision": ranks.mean(ranks.near)}
