"""Mean inverse negative penalty: 1 if no non-match ranks before the last match.

Source: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, section 4.
"""

import numpy as np

from model.metrics.ranking.match_ranks import Ranks

DEFINITIONS = {"minp": "mean over queries of R / rank of the last of its R matches"}
BEST_BY = ("minp",)
COLUMNS = ()


def per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    return {"minp": ranks.lengths / ranks.ranks[ranks.offsets[1:] - 1]}
