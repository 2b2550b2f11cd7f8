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
from model.metrics.labels import MatchLists
from model.metrics.ranking.per_query.cmc import CMC_RANKS, RECALL_RANKS
from model.metrics.ranking.per_query.cmc import DEFINITIONS as CMC_DEFINITIONS
from model.metrics.ranking.retrieval import QUERIES, Task
from model.metrics.rows import Rows, StoredRows
from model.metrics.search.nearest import BYTES_PER_NUMBER, merged, nearest
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
        gallery: (G, D), finite. The index keeps it in float64, and faiss keeps it in float32: 12 bytes per number. A
            stored gallery is read in parts for each search; only its centres and the cell of each image are kept.
        metric: a module of `model.distances` that is a function of the squared Euclidean distance.
        seed: random seed of k-means and of the sample; the same seed gives the same index.
        recall: required share of the 10 nearest other images that 256 gallery images find; more cells are searched
            until it is reached. The recall of queries may differ: see `recall_against_exact`.
        memory_gb: bound in 10^9 bytes for the parts of a stored gallery and the images that train the cells: if it is
            small, there are fewer cells.

    Attributes:
        size: G.
        cells, probed: the numbers of all cells and of searched cells; both are 1 if all images are compared.

    Raises:
        UserError: if faiss is not installed, for other metrics, and for NaN or infinite embeddings.
    """

    def __init__(
        self, gallery: Rows, metric: str, *, seed: int = 0, recall: float = 0.95, memory_gb: float = 1.0
    ) -> None:
        self._stored = isinstance(gallery, StoredRows)
        sample = gallery[:1] if isinstance(gallery, StoredRows) else gallery
        check_vectors(sample, sample, metric, squared=True)
        self._faiss = load_faiss()
        self._metric = metric
        self._gallery: Rows = (
            _Vectors(gallery, metric) if isinstance(gallery, StoredRows) else as_vectors(gallery, metric)
        )
        number, dimensions = gallery.shape
        self.size = number
        most = max(1, int(memory_gb * 1e9 / (BYTES_PER_NUMBER * dimensions))) if self._stored else number
        self._parts = [slice(start, min(start + most, number)) for start in range(0, number, most)]
        self._memory_gb = memory_gb
        self._mean, self._scale = centre_and_scale(self._gallery)
        self.cells = self.probed = 1
        self._index = self._centres = self._faiss.IndexFlatL2(dimensions)
        if number >= SMALL:
            self._make_cells(min(most, number), seed)
        if not self._stored:
            self._index.add(centred_single(self._gallery[:], self._mean, self._scale))
        if number >= SMALL:
            self._tune(recall, seed)

    def _make_cells(self, most: int, seed: int) -> None:
        """Trains the cells with at most `most` images; if the gallery is stored, finds the cell of each image."""
        number, dimensions = self._gallery.shape
        self.cells = max(1, int(min(4 * np.sqrt(number), most / IMAGES_PER_CELL)))
        # The index uses the centres, but does not keep them alive.
        self._index = self._faiss.IndexIVFFlat(self._centres, dimensions, self.cells, self._faiss.METRIC_L2)
        self._index.cp.seed = seed % 2**31
        self._index.cp.niter = PASSES
        self._index.cp.max_points_per_centroid = TRAINED_PER_CELL
        trained = np.random.default_rng(seed).permutation(number)[: min(most, TRAINED_PER_CELL * self.cells)]
        rows = self._gallery[np.sort(trained)] if self._stored else self._gallery[:]
        self._index.train(centred_single(rows, self._mean, self._scale))
        if self._stored:
            self._cell_of = np.empty(number, np.int64)
            for part in self._parts:
                single = centred_single(self._gallery[part], self._mean, self._scale)
                self._cell_of[part] = self._centres.search(single, 1)[1][:, 0]

    def _fill(self, part: slice) -> np.ndarray:
        """The vectors of a part, which becomes the content of the index."""
        vectors = self._gallery[part]
        if self._stored:
            self._index.reset()
            single = centred_single(vectors, self._mean, self._scale)
            if self.cells == 1:
                self._index.add(single)
            else:
                vector, cell = (self._faiss.swig_ptr(each) for each in (single, self._cell_of[part]))
                self._index.add_core(len(single), vector, None, cell)
        return vectors

    def search(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices (Q, k) int64 and distances (Q, k) float64 of the nearest images found, nearest first.

        If fewer than k are found, or the gallery has fewer, the rest is -1 with distance infinity.

        Raises:
            UserError: for queries that are NaN or infinite or do not fit the gallery.
        """
        check_vectors(query, self._gallery[:1], self._metric, squared=True)
        return self._search(as_vectors(query, self._metric), k)

    def recall_against_exact(self, query: Rows, k: int, sample: int = 1000, seed: int = 0) -> float:
        """Recall@k of the index: the share of the k exactly nearest images that it finds, for `sample` random queries.

        Images as far as the k-th nearest count as found too.
        """
        drawn = np.random.default_rng(seed).permutation(len(query))[:sample]
        query = query[np.sort(drawn)]
        check_vectors(query, self._gallery[:1], self._metric, squared=True)
        return self._recall(as_vectors(query, self._metric), k)

    def _search(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        single, width = centred_single(query, self._mean, self._scale), min(k, len(self._gallery))
        found, distances = np.full((len(query), k), -1), np.full((len(query), k), np.inf)
        for part in self._parts:
            vectors = self._fill(part)
            _, near = self._index.search(single, min(width, len(vectors)))  # (Q, w)
            rows, columns = np.repeat(np.arange(len(query)), near.shape[1]), np.maximum(near, 0).ravel()
            exact = distances_of_pairs(query, vectors, rows, columns, squared_distances).reshape(near.shape)
            exact[near < 0] = np.inf
            near = np.where(near < 0, -1, near + part.start)
            found, distances = merged(found, distances, near, exact, k)
        return found, find_distance(self._metric).of_squared(distances, np)

    def _recall(self, query: np.ndarray, k: int, exclude: np.ndarray | None = None) -> float:
        """Recall of queries given as vectors (see `as_vectors`); gallery images `exclude` (Q,) do not count."""
        memory_gb = self._memory_gb
        exact = nearest(query, self._gallery, k, "sqeuclidean", exclude=exclude, memory_gb=memory_gb).distances
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


class _Vectors(StoredRows):
    """Stored embeddings as vectors in float64 (see `as_vectors`)."""

    dtype = np.float64

    def __init__(self, gallery: StoredRows, metric: str) -> None:
        super().__init__(gallery.shape)
        self._rows, self._metric = gallery, metric

    def read(self, start: int, stop: int) -> np.ndarray:
        return as_vectors(self._rows[start:stop], self._metric)


def load_faiss() -> ModuleType:
    """The library faiss. It is loaded only on demand because it brings its own OpenMP and BLAS."""
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise UserError("approximate search needs faiss, which is not installed: pip install faiss-cpu") from error


DEPTH = max(*CMC_RANKS, *RECALL_RANKS)
BYTES_PER_FOUND = 100  # for each neighbour of a query, in all arrays
SAMPLE = 1000  # queries for comparing the index with exact search


def evaluate_index(
    task: Task, query_emb: Rows, gallery_emb: Rows, metric: str, memory_gb: float = 1.0
) -> tuple[dict[str, float], dict[str, str], np.ndarray, str]:
    """CMC@k and Recall@k with the neighbours that the index finds.

    Args:
        task: matches and excluded images.
        query_emb, gallery_emb: (Q', D) and (G', D) of the task's queries and gallery.
        metric: euclidean, sqeuclidean or cosine.
        memory_gb: bound in 10^9 bytes for the queries and the parts of a stored gallery.

    Returns:
        Metrics, their definitions, CMC@1 .. CMC@DEPTH, and a sentence on the quality of the index.

    Raises:
        UserError: if faiss is not installed, or does not support the metric.
    """
    size = len(gallery_emb)
    # Enough to have DEPTH images after removing the excluded ones.
    k = min(size, DEPTH + int(np.diff(task.lists.left_out_offsets).max(initial=0)))
    index = ApproximateIndex(gallery_emb, metric, memory_gb=memory_gb / 2)
    step = len(query_emb)
    if isinstance(gallery_emb, StoredRows):
        step = max(1, int(memory_gb * 1e9 / 2 / (BYTES_PER_NUMBER * query_emb.shape[1] + BYTES_PER_FOUND * k)))
    groups = [np.arange(start, min(start + step, len(query_emb))) for start in range(0, len(query_emb), step)]
    first = np.concatenate([_first_ranks(index, query_emb, task.lists, rows, k) for rows in groups])

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


def _first_ranks(index: ApproximateIndex, query_emb: Rows, lists: MatchLists, rows: np.ndarray, k: int) -> np.ndarray:
    """The ranks (q,) of the first matches of some queries among the k nearest found; k + 1 if there is none."""
    found, _ = index.search(query_emb[rows], k)  # (q, k)
    lists, size, number = lists.select(rows), index.size, np.arange(len(rows))
    left_out = _among(number[:, None], found, lists.left_out, lists.left_out_offsets, size) | (found < 0)
    match = _among(number[:, None], found, lists.columns, lists.offsets, size)
    ranks = np.cumsum(~left_out, axis=1)
    return np.where(match.any(1), ranks[number, match.argmax(1)], k + 1)


def _among(rows: np.ndarray, found: np.ndarray, columns: np.ndarray, offsets: np.ndarray, size: int) -> np.ndarray:
    """(Q', k) bool: whether each found image is in the query's list."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.isin(rows * size + found, owners * size + columns) & (found >= 0)
