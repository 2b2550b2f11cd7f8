"""Recall@K with an approximate index, for a gallery too large to compare every query with all of it."""

from typing import NamedTuple

import numpy as np

from model.metrics.approximate import ApproximateIndex
from model.metrics.ranked_figures import CMC_RANKS, DEFINITIONS, RECALL_RANKS
from model.metrics.retrieval import QUERIES, Task

DEPTH = max(*CMC_RANKS, *RECALL_RANKS)
SAMPLE = 1000  # queries with which the index is compared with an exact search


class IndexResult(NamedTuple):
    """Figures, what they mean, CMC@1 .. CMC@DEPTH, and how good the index is in a sentence."""

    metrics: dict[str, float]
    definitions: dict[str, str]
    cmc: np.ndarray
    note: str


def evaluate_index(
    task: Task, query_emb: np.ndarray, gallery_emb: np.ndarray, metric: str, seed: int = 0
) -> IndexResult:
    """CMC@k and Recall@k by the neighbours that the index finds.

    Args:
        task: who is to be found among whom.
        query_emb, gallery_emb: (Q', D) and (G', D) of the task's queries and gallery.
        metric: euclidean, sqeuclidean or cosine.
        seed: of the index and of the sample.

    Raises:
        UserError: when faiss is not installed, or has no such metric.
    """
    lists, size = task.lists, len(gallery_emb)
    # So many that DEPTH are left when those not to be ranked are taken away.
    k = min(size, DEPTH + int(np.diff(lists.left_out_offsets).max(initial=0)))
    index = ApproximateIndex(gallery_emb, metric, seed=seed)
    found, _ = index.search(query_emb, k)  # (Q', k)

    rows = np.arange(len(found))[:, None]
    left_out = _among(rows, found, lists.left_out, lists.left_out_offsets, size) | (found < 0)
    match = _among(rows, found, lists.columns, lists.offsets, size)
    ranks = np.cumsum(~left_out, axis=1)
    first = np.where(match.any(1), ranks[np.arange(len(found)), match.argmax(1)], k + 1)  # (Q',)

    cmc = np.array([(first <= depth).mean() for depth in range(1, DEPTH + 1)])
    metrics = {f"cmc@{depth}": float(cmc[depth - 1]) for depth in CMC_RANKS}
    metrics |= {f"recall@{depth}": float(cmc[depth - 1]) for depth in RECALL_RANKS}
    sample = min(SAMPLE, len(query_emb))
    agreement = index.recall_against_exact(query_emb, min(DEPTH, size), sample, seed)
    metrics["index_recall"] = float(agreement)
    nearest = f"the {min(DEPTH, size)} nearest of {sample:,} queries"
    note = f"the index found {agreement:.2%} of what an exact search finds, by {nearest}"
    definitions = {name: DEFINITIONS[name] for name in ("cmc", "recall")}
    definitions |= {
        "index": "faiss, approximate: cmc and recall are by the neighbours that it finds",
        "index_recall": f"share of the {min(DEPTH, size)} exactly nearest that it finds, over {sample:,} queries",
        "queries": QUERIES,
        "excluder": task.rules,
        "metric": metric,
    }
    return IndexResult(metrics, definitions, cmc, note)


def _among(rows: np.ndarray, found: np.ndarray, columns: np.ndarray, offsets: np.ndarray, size: int) -> np.ndarray:
    """(Q', k) bool: whether what was found is in the query's list."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.isin(rows * size + found, owners * size + columns) & (found >= 0)
