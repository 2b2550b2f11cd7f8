"""CMC, which the retrieval literature calls Recall@K.

Source: Zheng et al., Scalable Person Re-identification, ICCV 2015, section 5.1.
"""

import numpy as np

from model.metrics.ranking.match_ranks import Ranks

CMC_RANKS = (1, 5, 10)
RECALL_RANKS = (1, 2, 4, 8)

DEFINITIONS = {
    "cmc": "cmc@k: share of queries with a match among the k nearest gallery images",
    "recall": "recall@k: the same as cmc@k",
}
BEST_BY = COLUMNS = (*(f"cmc@{k}" for k in CMC_RANKS), *(f"recall@{k}" for k in RECALL_RANKS))


def per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    first = ranks.first
    found = {f"cmc@{k}": (first <= k).astype(np.float64) for k in CMC_RANKS}
    return found | {f"recall@{k}": (first <= k).astype(np.float64) for k in RECALL_RANKS}


def compute_cmc_curve(first_ranks: np.ndarray, length: int) -> np.ndarray:
    """CMC@1 .. CMC@length (length,) from the ranks of the queries' first matches."""
    return np.cumsum(np.bincount(first_ranks.astype(np.int64), minlength=length + 1)[1 : length + 1]) / len(first_ranks)
