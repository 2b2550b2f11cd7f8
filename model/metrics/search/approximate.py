"""Nearest neighbours in a gallery that is too large for exact search: an inverted file of faiss.

The gallery is cut into cells by k-means, and a query looks only into the cells whose centres are nearest (IVF-Flat:
Jegou et al., Product Quantization for Nearest Neighbor Search, TPAMI 2011, section 4, with the vectors themselves). How
many cells is measured: as many as the wanted recall takes on a sample of the gallery. What is found is put in order by
distances in float64; only what is not found makes the difference to exact search. See docs/evaluation.md.
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

SMALL = 10_000  # images: below, all are compared
IMAGES_PER_CELL = 39  # at least, or faiss warns that it has too few to train with
TRAINED_PER_CELL = 64  # at most; more images make training longer, and the cells hardly better
PASSES = 10  # of k-means
TUNED_K, TUNED_QUERIES = 10, 256


class ApproximateIndex:
    """Finds most of the nearest of a gallery, in a small part of the time of comparing all.

    Args:
        gallery: (G, D), finite. It is kept, in float64, beside faiss's copy in float32: 12 bytes a number together.
        metric: a module of `model.distances` that is a function of the squared Euclidean distance.
        seed: of the k-means and of the sample; the same seed gives the same index.
        recall: the share of the 10 nearest other gallery images that 256 gallery images shall find; cells are added
            until they do. That of queries may be another: see `recall_against_exact`.

    Attributes:
        cells, probed: how many there are and how many a query looks into; 1 and 1 where all images are compared.

    Raises:
        UserError: without faiss, for another metric, for embeddings that are not finite.
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
        self._centres = faiss.IndexFlatL2(dimensions)  # the index refers to it, and does not keep it alive
        self._index = faiss.IndexIVFFlat(self._centres, dimensions, self.cells, faiss.METRIC_L2)
        self._index.cp.seed = seed % 2**31
        self._index.cp.niter = PASSES
        self._index.cp.max_points_per_centroid = TRAINED_PER_CELL
        self._index.train(vectors)
        self._index.add(vectors)
        self._tune(recall, seed)

    def search(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices (Q, k) int64 and distances (Q, k) float64 of the nearest that are found, nearest first.

        Where fewer are found (or the gallery has fewer), the rest is -1 at distance infinity.

        Raises:
            UserError: for queries that are not finite or do not fit the gallery.
        """
        check_vectors(query, self._gallery[:1], self._metric, squared=True)
        return self._search(as_vectors(query, self._metric), k)

    def recall_against_exact(self, query: np.ndarray, k: int, sample: int = 1000, seed: int = 0) -> float:
        """Recall@k of the index: the share of the k nearest that `sample` of the queries find, drawn by the seed.

        An image at the distance of the k-th nearest counts as one of them.
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
        """Of queries as vectors, see `as_vectors`; with `exclude`, (Q,) gallery images that do not count."""
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
    """The library, which only this needs: it brings its own OpenMP and BLAS, and is loaded when it is asked for."""
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise UserError("approximate search needs faiss, which is not installed: pip install faiss-cpu") from error


DEPTH = max(*CMC_RANKS, *RECALL_RANKS)
SAMPLE = 1000  # queries with which the index is compared with an exact search


def evaluate_index(
    task: Task, query_emb: np.ndarray, gallery_emb: np.ndarray, metric: str
) -> tuple[dict[str, float], dict[str, str], np.ndarray, str]:
    """CMC@k and Recall@k by the neighbours that the index finds.

    Args:
        task: who is to be found among whom.
        query_emb, gallery_emb: (Q', D) and (G', D) of the task's queries and gallery.
        metric: euclidean, sqeuclidean or cosine.

    Returns:
        Figures, what they mean, CMC@1 .. CMC@DEPTH, and how good the index is in a sentence.

    Raises:
        UserError: when faiss is not installed, or has no such metric.
    """
    lists, size = task.lists, len(gallery_emb)
    # So many that DEPTH are left when those not to be ranked are taken away.
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
    note = f"the index found {agreement:.2%} of what an exact search finds, by {nearest}"
    definitions = CMC_DEFINITIONS | {
        "index": "faiss, approximate: cmc and recall are by the neighbours that it finds",
        "index_recall": f"share of the {min(DEPTH, size)} exactly nearest that it finds, over {sample:,} queries",
        "queries": QUERIES,
        "excluder": task.rules,
        "metric": metric,
    }
    return metrics, definitions, cmc, note


def _among(rows: np.ndarray, found: np.ndarray, columns: np.ndarray, offsets: np.ndarray, size: int) -> np.ndarray:
    """(Q', k) bool: whether what was found is in the query's list."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.isin(rows * size + found, owners * size + columns) & (found >= 0)
