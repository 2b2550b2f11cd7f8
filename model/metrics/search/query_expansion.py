"""Query expansion: moves a query towards its nearest gallery images before comparing it with all of them.

Average query expansion, the mean of the query and its k nearest images: Chum et al., Total Recall, ICCV 2007. Weights
cos^alpha: Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019, section 3.3.
"""

import numpy as np

from model.distances import has_unit_length
from model.metrics.rows import Rows
from model.metrics.search.nearest import nearest
from model.metrics.vectors import as_vectors, blocks, unit_rows


def definition(k: int, alpha: float) -> str:
    """The definition that is written with metrics of expanded queries."""
    weights = f"max(cos, 0)^{alpha:g}" if alpha else "1"
    return (
        f"before ranking, each query becomes the mean of itself and its {k} nearest gallery images, weights {weights}"
    )


def expand_queries(
    query: np.ndarray,
    gallery: Rows,
    k: int,
    *,
    alpha: float = 0.0,
    metric: str = "cosine",
    exclude: np.ndarray | None = None,
    memory_gb: float = 1.0,
) -> np.ndarray:
    """The weighted mean of each query and its k nearest gallery embeddings, (Q, D) float64.

    The query has weight 1. A neighbour has weight max(cos, 0)^alpha, with the cosine of the angle between the two; for
    alpha 0 all weights are 1. For `cosine`, embeddings are L2-normalised before, and means after. Neighbours are the
    nearest by the metric, and at equal distances the first; a gallery with fewer than k uses all it has.

    Args:
        query, gallery: (Q, D) and (G, D), finite; the gallery may be stored.
        metric: a module of `model.distances`.
        exclude: (Q,) index of a gallery image to skip, -1 for none: the query itself if all are compared with all.
        memory_gb: bound in 10^9 bytes for the blocks of queries, in addition to the embeddings in float64 and float32.

    Raises:
        UserError: for embeddings that do not fit or are NaN or infinite, and for an unknown metric.
    """
    indices = nearest(query, gallery, k, metric, exclude=exclude, memory_gb=memory_gb).indices
    query = as_vectors(query, metric)
    expanded = np.empty_like(query)
    for part in blocks(len(query), indices.shape[1] * query.shape[1]):
        # (q, k, D); the row gathered for -1 (none) gets weight 0
        near = as_vectors(gallery[indices[part].ravel()], metric).reshape(*indices[part].shape, -1)
        weights = (indices[part] >= 0).astype(np.float64)  # (q, k)
        if alpha:
            units = unit_rows(near.reshape(-1, near.shape[2])).reshape(near.shape)
            cosines = np.einsum("qd,qkd->qk", unit_rows(query[part]), units)
            weights *= np.clip(cosines, 0, 1) ** alpha
        sums = query[part] + np.einsum("qk,qkd->qd", weights, near)
        expanded[part] = sums / (1 + weights.sum(1, keepdims=True))
    return unit_rows(expanded) if has_unit_length(metric) else expanded
