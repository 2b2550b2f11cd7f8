"""Nearest neighbours in a gallery that is too large for exact search: an inverted file of faiss.

k-means divides the gallery into cells, and a query searches only the cells with the nearest centres (IVF-Flat: Jegou
et al., Product Quantization for Nearest Neighbor Search, TPAMI 2011, section 4, with the vectors themselves). The
number of searched cells is the one that gives the required recall on a sample of the gallery. The images found are
sorted by float64 distances, so the only difference to exact search is missing images. See docs/evaluation.md.
"""

import importlib
from types import ModuleType

import numpy as np

from model.distances import find_distance
from model.metrics.ranking.per_query.cmc import CMC_RANKS, RECALL_RANKS
from model.metrics.ranking.per_query.cmc import DEFINITIONS as CMC_DEFINITIONS
from model.metrics.ranking.retrieval import QUERIES, Task
from model.metrics.search.nearest import nearest
from model.metrics.vectors import (
    as_vectors,
    centre_and_scale,
    centred_single,
    check_vectors,
    distances_of_pairs,
    squared_distances,
)
from runtime.errors import UserError

SMALL = 10_000  # smaller galleries are compared as a whole
IMAGES_PER_CELL = 39  # at least; with fewer, faiss warns about too little training data
TRAINED_PER_CELL = 64  # at most; more make the training longer, but the cells hardly better
PASSES = 10  # of k-means
TUNED_K, TUNED_QUERIES = 10, 256


class ApproximateIndex:
    """Finds most of the nearest gallery images, in a small fraction of the time of exact search.

    Args:
        gallery: (G, D), finite. The index keeps it in float64, and faiss keeps it in float32: 12 bytes per number.
        metric: a module of `model.distances` that is a function of the squared Euclidean distance.
        seed: random seed of k-means and of the sample; the same seed gives the same index.
        recall: required share of the 10 nearest other images that 256 gallery images find; more cells are searched
            until it is reached. The recall of queries may differ: see `recall_against_exact`.

    Attributes:
        cells, probed: the numbers of all cells and of searched cells; both are 1 if all images are compared.

    Raises:
        UserError: if faiss is not installed, for other metrics, and for NaN or infinite embeddings.
    """

    def __init__(self, gallery: np.ndarray, metric: str, *, seed: int = 0, recall: float = 0.95) -> None:
        check_vectors(gallery, gallery, metric, squared=True)
        faiss = load_faiss()
        self._metric = metric
        self._gallery = as_vectors(gallery, metric)
        self._mean, self._scale = centre_and_scale(self._gallery)
        vectors = centred_single(self._gallery, self._mean, self._scale)  # (G, D) float32
        number, dimensions = vectors.shape
        self.cells = self.probed = 1
        if number < SMALL:
            self._index = faiss.IndexFlatL2(dimensions)
            self._index.add(vectors)
            return
        self.cells = int(min(4 * np.sqrt(number), number / IMAGES_PER_CELL))
        self._centres = faiss.IndexFlatL2(dimensions)  # the index uses it, but does not keep it alive
        self._index = faiss.IndexIVFFlat(self._centres, dimensions, self.cells, faiss.METRIC_L2)
        self._index.cp.seed = seed % 2**31
        self._index.cp.niter = PASSES
        self._index.cp.max_points_per_centroid = TRAINED_PER_CELL
        self._index.train(vectors)
        self._index.add(vectors)
        self._tune(recall, seed)

    def search(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices (Q, k) int64 and distances (Q, k) float64 of the nearest images found, nearest first.

        If fewer than k are found, or the gallery has fewer, the rest is -1 with distance infinity.

        Raises:
            UserError: for queries that are NaN or infinite or do not fit the gallery.
        """
        check_vectors(query, self._gallery[:1], self._metric, squared=True)
        return self._search(as_vectors(query, self._metric), k)

    def recall_against_exact(self, query: np.ndarray, k: int, sample: int = 1000, seed: int = 0) -> float:
        """Recall@k of the index: the share of the k exactly nearest images that it finds, for `sample` random queries.

        Images as far as the k-th nearest count as found too.
        """
        check_vectors(query, self._gallery[:1], self._metric, squared=True)
        drawn = np.random.default_rng(seed).permutation(len(query))[:sample]
        return self._recall(as_vectors(query[np.sort(drawn)], self._metric), k)

    def _search(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        single = centred_single(query, self._mean, self._scale)
        width = min(k, len(self._gallery))
        _, found = self._index.search(single, width)  # (Q, width)
        rows = np.repeat(np.arange(len(query)), width)
        columns = np.maximum(found, 0).ravel()
        distances = distances_of_pairs(query, self._gallery, rows, columns, squared_distances).reshape(found.shape)
        distances[found < 0] = np.inf
        order = np.lexsort((found, distances), axis=1)
        distances = np.take_along_axis(distances, order, 1)
        distances = find_distance(self._metric).of_squared(distances, np)
        missing = ((0, 0), (0, k - width))
        found = np.take_along_axis(found, order, 1).astype(np.int64)
        return np.pad(found, missing, constant_values=-1), np.pad(distances, missing, constant_values=np.inf)

    def _recall(self, query: np.ndarray, k: int, exclude: np.ndarray | None = None) -> float:
        """Recall of queries given as vectors (see `as_vectors`); gallery images `exclude` (Q,) do not count."""
        exact = nearest(query, self._gallery, k, "sqeuclidean", exclude=exclude).distances  # (Q, k)
        exact = find_distance(self._metric).of_squared(exact, np)
        found, distances = self._search(query, k + (exclude is not None))
        right = (distances <= exact[:, -1:]) & (found >= 0)
        if exclude is not None:
            right &= found != exclude[:, None]
        return float(np.minimum(right.sum(1), exact.shape[1]).mean() / exact.shape[1])

    def _tune(self, recall: float, seed: int) -> None:
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self._gallery))[:TUNED_QUERIES])
        self.probed = max(1, self.cells // 64)
        while True:
            self._index.nprobe = self.probed
            if self.probed == self.cells or self._recall(self._gallery[drawn], TUNED_K, drawn) >= recall:
                return
            self.probed = min(self.cells, int(np.ceil(self.probed * 1.5)))


def load_faiss() -> ModuleType:
    """The library faiss. It is loaded only on demand because it brings its own OpenMP and BLAS."""
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise UserError("approximate search needs faiss, which is not installed: pip install faiss-cpu") from error


DEPTH = max(*CMC_RANKS, *RECALL_RANKS)
SAMPLE = 1000  # queries for comparing the index with exact search


def evaluate_index(
    task: Task, query_emb: np.ndarray, gallery_emb: np.ndarray, metric: str
) -> tuple[dict[str, float], dict[str, str], np.ndarray, str]:
    """CMC@k and Recall@k with the neighbours that the index finds.

    Args:
        task: matches and excluded images.
        query_emb, gallery_emb: (Q', D) and (G', D) of the task's queries and gallery.
        metric: euclidean, sqeuclidean or cosine.

    Returns:
        Metrics, their definitions, CMC@1 .. CMC@DEPTH, and a sentence on the quality of the index.

    Raises:
        UserError: if faiss is not installed, or does not support the metric.
    """
    lists, size = task.lists, len(gallery_emb)
    # Enough to have DEPTH images after removing the excluded ones.
    k = min(size, DEPTH + int(np.diff(lists.left_out_offsets).max(initial=0)))
    index = ApproximateIndex(gallery_emb, metric)
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
    agreement = index.recall_against_exact(query_emb, min(DEPTH, size), sample)
    metrics["index_recall"] = float(agreement)
    nearest = f"the {min(DEPTH, size)} nearest of {sample:,} queries"
    note = f"the index found {agreement:.2%} of the images that exact search finds, measured on {nearest}"
    definitions = CMC_DEFINITIONS | {
        "index": "faiss, approximate: cmc and recall use the neighbours that it finds",
        "index_recall": f"share of the {min(DEPTH, size)} exactly nearest that it finds, over {sample:,} queries",
        "queries": QUERIES,
        "excluder": task.rules,
        "metric": metric,
    }
    return metrics, definitions, cmc, note


def _among(rows: np.ndarray, found: np.ndarray, columns: np.ndarray, offsets: np.ndarray, size: int) -> np.ndarray:
    """(Q', k) bool: whether each found image is in the query's list."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.isin(rows * size + found, owners * size + columns) & (found >= 0)
