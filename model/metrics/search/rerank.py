"""Re-ranking with k-reciprocal neighbours, exact, in blocks: without arrays of size (Q + G)^2 or Q x G.

Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017, as in its published code. Two
images are near if each is among the nearest of the other, and if they share such neighbours. The encoding of an image
has about 10 to 200 numbers other than 0, so all encodings fit into a sparse matrix. The encodings need only neighbours:
the k1 + 1 smallest distances in each row of the (Q + G)^2 distances of the union.
"""

import threading

import numpy as np
from scipy import sparse

from model.metrics.ranking.gallery_distances import Distances
from model.metrics.search.nearest import nearest
from model.metrics.vectors import as_vectors, check_vectors, distances_of_pairs, squared_distances

MAX_TERMS = 1 << 20  # terms of sums of minima that are computed together, at 50 bytes each

DEFINITION = (
    "k-reciprocal re-ranking (Zhong et al., CVPR 2017): (1 - weight) * Jaccard distance + weight * squared Euclidean "
    "distance divided by the query's largest one among queries and gallery; of L2-normalised embeddings for cosine"
)


class Reranker:
    """The re-ranked distances from queries to a gallery, one block of queries at a time.

    Let d(i, j) be the squared Euclidean distance in the union of queries and gallery, divided by the largest one of row
    i; N(i, k) the k + 1 nearest of i, including i; and R(i, k) those j in N(i, k) for which i is in N(j, k).

    1. R*(i): R(i, k1), and R(j, k1 / 2) of each j in R(i, k1) that has more than 2/3 of its own in R(i, k1) (k1 / 2
       rounded to the even number at a half).
    2. V(i, j) = exp(-d(i, j)) for j in R*(i), else 0, divided by the row's sum.
    3. V(i) becomes the mean of V over the k2 nearest of i.
    4. J(i, j) = 1 - m / (2 - m), m = the sum over g of min(V(i, g), V(j, g)).
    5. The distance is (1 - weight) J + weight d.

    At equal distances, the first image counts as nearer, queries before gallery.

    Args:
        query, gallery: (Q, D) and (G, D) embeddings, finite.
        k1, k2, weight: the paper's k1, k2 and lambda. If k1 or k2 exceeds the size of the union, all images are
            neighbours, as in the published code.
        metric: `euclidean` and `sqeuclidean` give the same. For `cosine`, or another metric of embeddings with length
            1, the embeddings are L2-normalised first; d(i, j) is then the cosine distance over the row's largest one.
        same: the query set is the gallery (all against all): the union is this one set.
        memory_gb: bound in 10^9 bytes for the blocks, in addition to the embeddings in float64 and float32, the
            neighbours and the encodings (about 12 bytes per number other than 0).

    Raises:
        UserError: for embeddings that are NaN or infinite or do not fit, and for other metrics.
    """

    def __init__(
        self,
        query: np.ndarray,
        gallery: np.ndarray,
        *,
        k1: int = 20,
        k2: int = 6,
        weight: float = 0.3,
        metric: str = "euclidean",
        same: bool = False,
        memory_gb: float = 1.0,
    ) -> None:
        check_vectors(query, gallery, metric, squared=True)
        self._queries, self._weight, self._memory_gb = len(query), weight, memory_gb
        self._first = 0 if same else len(query)  # row of the first gallery image in the union

        vectors = query if same else np.concatenate([query, gallery])
        vectors = as_vectors(vectors, metric)  # (N, D)
        found = nearest(vectors, vectors, max(k1 + 1, k2), "sqeuclidean", farthest=True, memory_gb=memory_gb)
        self._largest = np.where(found.farthest > 0, found.farthest, 1)  # (N,); if all are equal, all distances are 0
        expanded = reciprocal_sets(found.indices, k1, memory_gb)
        weights = gaussian_weights(expanded, vectors, self._largest)
        encodings = weights if k2 == 1 else neighbour_means(found.indices[:, :k2], weights)
        self._query_codes = encodings[: self._queries]  # (Q, N)
        self._gallery_codes = encodings[self._first :].tocsc()  # (G, N), by columns: the images that have a neighbour
        vectors = vectors - vectors.mean(0)  # so products lose no digits
        self._query = vectors[: self._queries]
        self._gallery = vectors[self._first :]
        self._gallery_norms = np.square(self._gallery).sum(1)
        self.gallery_size = len(self._gallery)

    def distances(self, queries: slice | np.ndarray) -> np.ndarray:
        """The final distances (q, G) float32 from these queries (a slice, or numbers) to the whole gallery."""
        rows = np.arange(self._queries)[queries]
        query = self._query[rows]
        out: np.ndarray = (-2 * query) @ self._gallery.T  # (q, G)
        out += self._gallery_norms
        out += np.square(query).sum(1)[:, None]
        np.maximum(out, 0, out=out)
        out *= (self._weight / self._largest[rows])[:, None]
        self._add_jaccard(rows, out)
        return out.astype(np.float32)

    def _add_jaccard(self, rows: np.ndarray, out: np.ndarray) -> None:
        codes = self._query_codes[rows]
        starts = self._gallery_codes.indptr
        terms = np.diff(starts)[codes.indices].astype(np.int64)  # for each number of a query's encoding
        ends = np.concatenate([[0], np.cumsum(terms)])[codes.indptr]  # (q + 1,) terms before each query
        columns = len(self._gallery)
        widest = max(1, int(self._memory_gb * 1e9 / (32 * columns)))  # queries whose rows fit into the memory
        start = 0
        while start < len(rows):
            stop = int(np.searchsorted(ends, ends[start] + MAX_TERMS, side="right")) - 1
            stop = min(max(stop, start + 1), start + widest, len(rows))
            part = slice(codes.indptr[start], codes.indptr[stop])
            lengths = terms[part]
            row = np.repeat(np.arange(stop - start), np.diff(codes.indptr[start : stop + 1]))
            # Positions in the columns' lists, one list after the other.
            shift = starts[codes.indices[part]] - (np.cumsum(lengths) - lengths)
            place = np.arange(lengths.sum()) + np.repeat(shift, lengths)
            minima = np.minimum(np.repeat(codes.data[part], lengths), self._gallery_codes.data[place])
            cell = np.repeat(row * columns, lengths) + self._gallery_codes.indices[place]
            sums = np.bincount(cell, minima, minlength=(stop - start) * columns)
            shared = sums.astype(np.float64, copy=False).reshape(stop - start, columns)  # int64 if there are no terms
            shared /= 2 - shared
            np.subtract(1, shared, out=shared)
            shared *= 1 - self._weight
            out[start:stop] += shared
            start = stop


def reciprocal_sets(neighbours: np.ndarray, k1: int, memory_gb: float) -> sparse.csr_array:
    """R*(i) of every image: a sparse matrix (N, N) of ones.

    Args:
        neighbours: (N, k) the nearest of each image, nearest first.
    """
    near = mutual(neighbours[:, : k1 + 1])
    half = mutual(neighbours[:, : int(np.around(k1 / 2)) + 1])
    sizes = np.diff(half.indptr)  # (N,)
    half_columns = half.T.tocsr()
    step = max(1, int(memory_gb * 1e9 / (32 * (k1 + 1) ** 2)))  # rows, by the size of the products if all were mutual
    blocks = []
    for start in range(0, len(neighbours), step):
        block = near[start : start + step]
        shared = (block @ half_columns).multiply(block).tocoo()  # |R(j, k1 / 2) and R(i, k1)|
        joins = 3 * shared.data > 2 * sizes[shared.col]
        joining = sparse.csr_array(
            (np.ones(joins.sum(), np.int32), (shared.row[joins], shared.col[joins])), shape=block.shape
        )
        blocks.append(block + joining @ half)
    expanded = sparse.vstack(blocks, format="csr")
    expanded.sort_indices()
    return expanded


def mutual(neighbours: np.ndarray) -> sparse.csr_array:
    """Ones (N, N) where i is a neighbour of j and j is a neighbour of i."""
    ones = selection(neighbours, np.int32)
    return ones.multiply(ones.T.tocsr()).tocsr()


def selection(neighbours: np.ndarray, dtype: type) -> sparse.csr_array:
    """Ones (N, N) where row i of `neighbours` (N, k) contains j."""
    number, k = neighbours.shape
    pointers = np.arange(0, number * k + 1, k)
    columns = np.sort(neighbours, axis=1).ravel()
    return sparse.csr_array((np.ones(number * k, dtype), columns, pointers), shape=(number, number))


def gaussian_weights(sets: sparse.csr_array, vectors: np.ndarray, largest: np.ndarray) -> sparse.csr_array:
    """exp(-d) over the sets, with each row divided by its sum; empty rows stay empty."""
    rows = np.repeat(np.arange(sets.shape[0]), np.diff(sets.indptr))
    distances = distances_of_pairs(vectors, vectors, rows, sets.indices, squared_distances)
    weights = np.exp(-distances / largest[rows])
    sums = np.bincount(rows, weights, minlength=sets.shape[0])
    return sparse.csr_array((weights / sums[rows], sets.indices, sets.indptr), shape=sets.shape)


def neighbour_means(neighbours: np.ndarray, weights: sparse.csr_array) -> sparse.csr_array:
    """For each image, the mean of its neighbours' rows; the neighbours are (N, k2)."""
    means = selection(neighbours, np.float64) @ weights
    means.data /= neighbours.shape[1]
    means.sort_indices()
    return means


class RerankedDistances(Distances):
    """Distances from some queries of a `Reranker` to its gallery.

    Args:
        reranker: of all queries, because queries are neighbours of each other.
        queries: (Q',) the numbers of the queries to rank, ascending.
    """

    def __init__(self, reranker: Reranker, queries: np.ndarray) -> None:
        self._reranker, self._queries, self.shape = reranker, queries, (len(queries), reranker.gallery_size)
        self._blocks = threading.local()  # the current block of each thread

    def _block(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
        """A block (q, G) that contains these rows, and the number of its first row."""
        first, last = int(rows.min()), int(rows.max())
        held = getattr(self._blocks, "held", None)
        if held is None or first < held[1] or last >= held[1] + len(held[0]):
            numbers = self._queries[first : last + 1]
            self._blocks.held = held = self._reranker.distances(numbers), first
        return held

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.empty(0)
        block, first = self._block(rows)
        return block[rows - first, columns].astype(np.float64)

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        block, first = self._block(rows)
        return block[rows - first, columns]  # rows are an array, so this is a copy
