"""Batch statistics for the log: metrics for curves, distances for histograms, the hardest triplets.

They are computed on logged steps only, for blocks of anchors: memory grows with the batch size, not with its square.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from model.losses.pairwise import pairwise

_BLOCK = 128  # anchors at a time
_FLAT = 1e-6  # a smaller spread, relative to the values, is float32 rounding


class Triplet(NamedTuple):
    """An anchor, its farthest positive and its nearest negative: positions in the batch, and distances."""

    anchor: int
    positive: int
    negative: int
    d_ap: float
    d_an: float


def batch_statistics(labels: tf.Tensor, embeddings: tf.Tensor, metric: str, k: int) -> dict[str, float]:
    """Scalars that describe a batch of embeddings: (B,), (B, D) -> dictionary.

    - batch_top1: share of anchors with an image of the same identity as nearest neighbour.
    - batch_precision@K-1: share of images of the anchor's identity among its K - 1 nearest, mean over the anchors.
    - embedding_norm: mean length.
    - embedding_std: standard deviation of a dimension over the batch, mean over the dimensions.
    - embedding_std_min: standard deviation of the dimension that varies least.
    - effective_rank: number of dimensions over which the batch spreads, from 1 to min(B - 1, D); 0 for a single point.
      With p the singular values of the centred batch divided by their sum, exp(-sum p log p)  (Roy & Vetterli, The
      Effective Rank, 2007)

    The first two are means over the anchors with a positive, 0 if there are none. K is `k`, even for identities with
    fewer images in the batch. Images at a distance that is not finite are no neighbours.
    """
    neighbours = max(k - 1, 1)
    hits, has_positive = [], []
    for _, distances, same, itself in blocks_of(labels, embeddings, metric):
        farness = np.where(np.isfinite(distances) & ~itself, distances, np.inf)
        nearest = np.argsort(farness, axis=1, kind="stable")[:, :neighbours]  # (A, K - 1)
        hits.append(np.take_along_axis(same & np.isfinite(farness), nearest, axis=1))
        has_positive.append((same & ~itself).any(axis=1))
    of_anchors = np.concatenate(hits)[np.concatenate(has_positive)]
    anchors = np.float32(max(len(of_anchors), 1))
    norm, deviation, least, rank = _spread(embeddings).numpy().tolist()
    return {
        "batch_top1": float(np.float32(of_anchors[:, 0].sum()) / anchors),
        "batch_precision@K-1": float(np.float32(of_anchors.sum()) / (anchors * neighbours)),
        "embedding_norm": norm,
        "embedding_std": deviation,
        "embedding_std_min": least,
        "effective_rank": rank,
    }


def percentiles(values: dict[str, np.ndarray]) -> dict[str, float]:
    """Percentiles 5, 50 and 95 of the finite values of each array, as `NAME_p5` ...; none for an array without any."""
    found: dict[str, float] = {}
    for name, array in values.items():
        finite = array[np.isfinite(array)]
        if len(finite):
            numbers = np.percentile(finite, [5, 50, 95])
            found |= {f"{name}_p{p}": float(number) for p, number in zip((5, 50, 95), numbers, strict=True)}
    return found


def distance_samples(
    labels: tf.Tensor, embeddings: tf.Tensor, metric: str, anchors: int = 128
) -> dict[str, np.ndarray]:
    """Distances of some anchors to the whole batch, for histograms: (B,), (B, D) -> all, positive, negative, each 1-D.

    The anchors are evenly spaced in the batch; a batch of at most `anchors` images gives all. Distances of an anchor
    to itself are excluded.
    """
    size = len(embeddings)
    chosen = min(anchors, size)
    rows = np.arange(chosen) * size // max(chosen, 1)
    ((_, distances, same, itself),) = blocks_of(labels, embeddings, metric, rows, block=anchors)
    return {"all": distances[~itself], "positive": distances[same & ~itself], "negative": distances[~same]}


def hardest_triplets(labels: tf.Tensor, embeddings: tf.Tensor, metric: str, count: int = 8) -> list[Triplet]:
    """The `count` anchors with the largest d(anchor, farthest positive) - d(anchor, nearest negative), worst first.

    With enough identities, each has at most one anchor. Anchors without a positive and a negative at a finite distance
    are excluded.
    """
    found = []
    for _, distances, same, itself in blocks_of(labels, embeddings, metric):
        to_positives = np.where(same & ~itself & np.isfinite(distances), distances, -np.inf)
        to_negatives = np.where(~same & np.isfinite(distances), distances, np.inf)
        chosen = to_positives.argmax(axis=1), to_negatives.argmin(axis=1)
        found.append((*chosen, to_positives.max(axis=1), to_negatives.min(axis=1)))
    positive, negative, d_ap, d_an = (np.concatenate(parts) for parts in zip(*found, strict=True))
    valid = np.flatnonzero(np.isfinite(d_ap) & np.isfinite(d_an))
    worst_first = valid[np.argsort(d_an[valid] - d_ap[valid], kind="stable")]
    seen: Counter[int] = Counter()
    turns = []
    for identity in np.asarray(labels)[worst_first].tolist():
        turns.append(seen[identity])  # number of worse anchors of the same identity
        seen[identity] += 1
    kept = worst_first[np.sort(np.argsort(np.array(turns, int), kind="stable")[:count])]
    return [Triplet(int(i), int(positive[i]), int(negative[i]), float(d_ap[i]), float(d_an[i])) for i in kept]


def blocks_of(
    labels: Any, embeddings: Any, metric: str, anchors: np.ndarray | None = None, block: int = _BLOCK
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Compares anchors with all images, block by block: (N,), (N, D), (A,) indices of the anchors (default: all).

    Yields:
        The anchors (b,), and three arrays (b, N): float32 distances to all images, whether the identity is the same,
        whether the image is the anchor itself.
    """
    labels, embeddings = np.asarray(labels), tf.convert_to_tensor(embeddings)
    anchors = np.arange(len(labels)) if anchors is None else anchors
    for start in range(0, len(anchors), block):
        rows = anchors[start : start + block]
        distances = _distances(rows, embeddings, metric).numpy()
        yield rows, distances, labels[rows, None] == labels, rows[:, None] == np.arange(len(labels))


@tf.function  # the shapes of a training are few: those of its batches, or of its images, and of a last block
def _distances(rows: tf.Tensor, embeddings: tf.Tensor, metric: str) -> tf.Tensor:
    """From the embeddings at `rows` to all: (A,), (N, D) -> (A, N)."""
    return pairwise(tf.gather(embeddings, rows), embeddings, metric)


@tf.function
def _spread(embeddings: tf.Tensor) -> tf.Tensor:
    """Embedding norm, embedding std, its minimum, effective rank, of (B, D): (4,)."""
    lengths, deviations = tf.norm(embeddings, axis=1), tf.math.reduce_std(embeddings, axis=0)  # (B,), (D,)
    found = tf.reduce_mean(lengths), tf.reduce_mean(deviations), tf.reduce_min(deviations)
    return tf.stack([*found, _effective_rank(embeddings)])


def _effective_rank(embeddings: tf.Tensor) -> tf.Tensor:
    """exp of the entropy of the normalised singular values of the centred batch: (B, D) -> ()."""
    finite = tf.reduce_all(tf.math.is_finite(embeddings))
    embeddings = tf.where(finite, embeddings, 0.0)  # the decomposition of NaN may not terminate
    size = tf.reduce_max(tf.abs(embeddings))
    embeddings = tf.math.divide_no_nan(embeddings, size)  # no square overflows or underflows float32
    centred = embeddings - tf.reduce_mean(embeddings, axis=0)
    spread = tf.reduce_max(tf.abs(centred)) > _FLAT
    singular = tf.linalg.svd(tf.where(spread, centred, 0.0), compute_uv=False)  # (min(B, D),)
    shares = tf.math.divide_no_nan(singular, tf.reduce_sum(singular))
    entropy = -tf.reduce_sum(tf.math.xlogy(shares, shares))
    return tf.where(spread, tf.exp(entropy), 0.0)
