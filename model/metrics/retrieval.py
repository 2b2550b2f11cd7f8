"""Retrieval: how high does each query rank the gallery images of its own identity?

The rank of a match is a count of smaller distances, so the figures of a query come from its few matches and one sorted
row of distances; the queries go through in blocks, and nothing of size Q x G is ever held.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from dataset.errors import UserError
from dataset.manifest import Manifest
from model.metrics.excluders import MEANINGS, encode_labels, find_excluder

METRICS = ("euclidean", "sqeuclidean", "cityblock", "cosine")
CMC_RANKS = (1, 5, 10)
RECALL_RANKS = (1, 2, 4, 8)
BYTES_PER_DISTANCE = 64  # of a block's arrays together, at worst (every gallery image a match)
MAX_BLOCK = 256  # larger blocks leave the processor's cache and gain nothing
COSINE_NOISE = 1e-14  # what rounding to float32 makes of the cosine distance of parallel vectors

DEFINITIONS = {
    "cmc": "cmc@k: share of queries with a match among the k nearest gallery images",
    "recall": "recall@k: the same as cmc@k",
    "map": "mean over queries of the non-interpolated average precision: mean over matches i of i / rank_i",
    "map_market": "as map, with the mean of the precisions before and at each match (trapezoid, Market-1501's code)",
    "minp": "mean over queries of R / rank of the last of its R matches",
    "map@r": "mean over queries of the sum of i / rank_i over the matches with rank_i <= R, divided by R",
    "r_precision": "mean over queries of the share of matches among the R nearest",
    "ties": "pessimistic: a non-match at the same distance (in single precision) ranks before the match",
    "queries": "every figure is over the same queries, those with a match in the gallery",
}


@dataclass(frozen=True)
class RetrievalResult:
    """Figures over the Q' queries that have a match, and per query.

    Attributes:
        metrics: name -> value in [0, 1].
        definitions: what the names mean, and the excluder, metric and tie rule they were computed with.
        counts: `queries`, `gallery`, `queries_used`, `queries_skipped_identity_absent` (no other image of the identity
            in the gallery) and `queries_skipped_only_same_camera` (all of them excluded).
        aps: (Q,) average precision (`map`'s) of each query, NaN where skipped.
        first_ranks: (Q,) int, rank of the first match, counted from 1; 0 where skipped.
    """

    metrics: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    aps: np.ndarray
    first_ranks: np.ndarray


def evaluate_retrieval(
    query_emb: np.ndarray,
    gallery_emb: np.ndarray,
    query: Manifest,
    gallery: Manifest,
    excluder: str,
    metric: str,
    memory_gb: float = 1.0,
) -> RetrievalResult:
    """CMC, recall, mAP (two definitions), mINP, MAP@R and R-precision of queries against a gallery.

    Sources: CMC and `map_market`: Zheng et al., Scalable Person Re-identification, ICCV 2015, and its published code;
    `minp`: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, section 4; `map@r` and
    `r_precision`: Musgrave et al., A Metric Learning Reality Check, section 2.

    Args:
        query_emb, gallery_emb: (Q, D) and (G, D), rows in the order of the manifests.
        query, gallery: labels; the same manifest twice for a set that is evaluated all against all.
        excluder: `diagonal`, `market1501` or `duke`.
        metric: `euclidean`, `sqeuclidean`, `cityblock` or `cosine`.
        memory_gb: bound in 10^9 bytes for a block of queries (at least one), beside the embeddings in float64.

    Raises:
        UserError: for embeddings that are not finite or do not fit the manifests, unknown names, or when no query has a
            match.
    """
    exclude = find_excluder(excluder)
    if metric not in METRICS:
        raise UserError(f"metric {metric!r}: it must be one of {', '.join(METRICS)}")
    if not memory_gb > 0:
        raise UserError(f"memory_gb {memory_gb}: it must be greater than 0")
    query_emb, gallery_emb = check_embeddings(query_emb, query), check_embeddings(gallery_emb, gallery)
    if query_emb.shape[1] != gallery_emb.shape[1]:
        sizes = f"{query_emb.shape[1]} and {gallery_emb.shape[1]}"
        raise UserError(f"query and gallery embeddings have {sizes} dimensions; compute both with one model")
    query_labels, gallery_labels = encode_labels(query, gallery, excluder)
    distances_of = distance_function(query_emb, gallery_emb, metric)

    aps, first_ranks = np.full(len(query), np.nan), np.zeros(len(query), np.int64)  # (Q,)
    sums, absent = np.zeros(4), 0
    step = int(np.clip(memory_gb * 1e9 / (BYTES_PER_DISTANCE * len(gallery)), 1, MAX_BLOCK))
    for start in range(0, len(query), step):
        block = slice(start, start + step)
        labels = query_labels[block]
        excluded = exclude(labels, gallery_labels)  # (q, G)
        same = labels.identities[:, None] == gallery_labels.identities[None, :]  # (q, G)
        same &= ~gallery_labels.junk
        match = same & ~excluded
        used = match.any(1)  # (q,)
        if not used.all():
            another = same[~used] & (labels.paths[~used, None] != gallery_labels.paths)
            absent += int((~another.any(1)).sum())
        if used.any():
            distances = distances_of(query_emb[block][used])
            figures = query_figures(*ranks_of_matches(distances, match[used], excluded[used]))
            aps[block][used], first_ranks[block][used] = figures[0], figures[1]
            sums += np.sum(figures[2:], axis=1)

    number = int((first_ranks > 0).sum())
    counts = {
        "queries": len(query),
        "gallery": len(gallery),
        "queries_used": number,
        "queries_skipped_identity_absent": absent,
        "queries_skipped_only_same_camera": len(query) - number - absent,
    }
    if not number:
        raise UserError(no_match_message(query, gallery, excluder, counts))
    found = first_ranks[first_ranks > 0]
    metrics = {f"cmc@{k}": float((found <= k).mean()) for k in CMC_RANKS}
    metrics |= {f"recall@{k}": float((found <= k).mean()) for k in RECALL_RANKS}
    metrics["map"] = float(np.nanmean(aps))
    metrics |= dict(zip(("map_market", "minp", "map@r", "r_precision"), (sums / number).tolist(), strict=True))
    return RetrievalResult(
        metrics, DEFINITIONS | {"excluder": MEANINGS[excluder], "metric": metric}, counts, aps, first_ranks
    )


def ranks_of_matches(distances: np.ndarray, match: np.ndarray, excluded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the matches of every query, counted from 1 among the gallery images that are not excluded.

    Args:
        distances: (q, G) finite; overwritten.
        match, excluded: (q, G) bool, disjoint; every query has a match.

    Returns:
        ranks (M,), query after query, ascending; their number for each query (q,).
    """
    flat = np.flatnonzero(match)  # (M,)
    rows, found = flat // distances.shape[1], distances.ravel()[flat]
    found = found[np.lexsort((found, rows))]
    lengths = np.bincount(rows, minlength=len(distances))  # (q,)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    # What is left are the non-matches; the others stand behind them, at a distance that no match reaches.
    np.putmask(distances, match, np.inf)
    np.putmask(distances, excluded, np.inf)
    distances.sort(axis=1)
    ranks = np.arange(1, len(flat) + 1) - np.repeat(offsets[:-1], lengths)  # i = 1 .. R of each query
    for row, others in enumerate(distances):
        part = slice(offsets[row], offsets[row + 1])
        ranks[part] += np.searchsorted(others, found[part], side="right")
    return ranks, lengths


def query_figures(ranks: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, ...]:
    """AP, rank of the first match, AP of the Market-1501 code, INP, AP@R and R-precision, each (q,).

    Args:
        ranks, lengths: as `ranks_of_matches` returns them.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    number = np.arange(1, len(ranks) + 1) - np.repeat(starts, lengths)  # i (M,)
    precision = number / ranks
    # At rank 1 nothing is before the match; the published code starts with precision 1.
    before = np.where(ranks == 1, 1.0, (number - 1) / np.maximum(ranks - 1, 1))
    near = ranks <= np.repeat(lengths, lengths)

    def mean(values: np.ndarray) -> np.ndarray:  # (M,) -> (q,)
        return np.add.reduceat(values, starts, dtype=np.float64) / lengths

    inp = lengths / ranks[ends - 1]
    return mean(precision), ranks[starts], mean((before + precision) / 2), inp, mean(precision * near), mean(near)


def distance_function(query: np.ndarray, gallery: np.ndarray, metric: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a block of queries (q, D) to its distances (q, G), float32; equal gallery rows tie exactly.

    Euclidean distances are left squared: the order is the same. They come from a matrix product in float64 about the
    gallery's mean, which keeps the cancellation in |q|^2 - 2 q.g + |g|^2 far below float32's resolution; rounding to
    float32 then makes ties of what differs by rounding alone. The cosine distance is 1 - cos, and 1 for a zero vector.
    """
    # A power of two, so that it changes no digit: distances neither overflow nor vanish in float32.
    scale = 2.0 ** -int(np.frexp(max(np.abs(query).max(), np.abs(gallery).max()))[1])

    def scaled(vectors: np.ndarray) -> np.ndarray:
        return vectors.astype(np.float64) * scale + 0.0  # -0.0 -> 0.0, for equal rows to be equal bytes

    gallery = scaled(gallery)
    # A product may differ in the last bit between columns, so equal rows are computed once.
    rows = gallery.view(np.dtype((np.void, gallery.strides[0]))).ravel()
    _, first, spread = np.unique(rows, return_index=True, return_inverse=True)
    repeated = len(first) < len(gallery)
    gallery = gallery[first] if repeated else gallery  # (G', D)

    if metric == "cosine":
        targets = unit_rows(gallery).T

        def compute(block: np.ndarray) -> np.ndarray:
            distances = 1 - unit_rows(scaled(block)) @ targets
            distances[distances < COSINE_NOISE] = 0
            return distances
    elif metric == "cityblock":

        def compute(block: np.ndarray) -> np.ndarray:
            return cdist(scaled(block), gallery, "cityblock")
    else:
        mean = gallery.mean(0)
        gallery -= mean
        targets = np.column_stack([gallery, np.square(gallery).sum(1), np.ones(len(gallery))]).T  # (D + 2, G')

        def compute(block: np.ndarray) -> np.ndarray:
            block = scaled(block) - mean
            distances = np.column_stack([-2 * block, np.ones(len(block)), np.square(block).sum(1)]) @ targets
            return np.maximum(distances, 0, out=distances)

    def distances_of(block: np.ndarray) -> np.ndarray:
        distances = compute(block).astype(np.float32)
        return np.take(distances, spread, axis=1) if repeated else distances

    return distances_of


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their Euclidean norm; zero rows stay."""
    norms = np.sqrt(np.square(vectors).sum(1, keepdims=True))
    return vectors / np.where(norms == 0, 1, norms)


def check_embeddings(embeddings: np.ndarray, manifest: Manifest) -> np.ndarray:
    """The embeddings (N, D) as an array, known to be finite and as many as the manifest's images."""
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2 or len(embeddings) != len(manifest):
        shape = " x ".join(map(str, embeddings.shape))
        raise UserError(f"{manifest.source}: {len(manifest)} images, but embeddings of shape {shape}")
    bad = np.flatnonzero(~np.isfinite(embeddings).all(1))
    if len(bad):
        what = f"{len(bad)} of {len(embeddings)} embeddings are not finite (NaN or infinite)"
        raise UserError(f"{manifest.source}: {what}, the first is that of {manifest.paths[bad[0]]}")
    return embeddings


def no_match_message(query: Manifest, gallery: Manifest, excluder: str, counts: dict[str, int]) -> str:
    """Why nothing can be evaluated."""
    absent, camera = counts["queries_skipped_identity_absent"], counts["queries_skipped_only_same_camera"]
    return (
        f"none of the {counts['queries']} queries of {query.source} has a match in {gallery.source}: for {absent} the "
        f"gallery has no other image of the identity, for {camera} only images that excluder {excluder} leaves out; "
        "check that the two files belong together, and the excluder"
    )
