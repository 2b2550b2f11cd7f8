"""How a batch of embeddings stands: figures for curves, distances for histograms, the triplets that are wrong most.

All of it is for logged steps only. Anchors are taken in blocks, so that memory grows with the size of the batch and not
with its square.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from model.losses.pairwise import pairwise

_BLOCK = 128  # anchors at a time
_FLAT = 1e-6  # a spread of so small a part of the values is float32's rounding


class Triplet(NamedTuple):
    """An anchor with its farthest positive and its nearest negative: positions in the batch, and distances."""

    anchor: int
    positive: int
    negative: int
    d_ap: float
    d_an: float


def batch_statistics(labels: tf.Tensor, embeddings: tf.Tensor, metric: str, k: int) -> dict[str, float]:
    """Scalars that tell how a batch of embeddings stands: (B,), (B, D) -> dictionary.

    - batch_top1: share of anchors whose nearest other image is of their identity.
    - batch_precision@K-1: share of their identity among an anchor's K - 1 nearest, mean over the anchors.
    - embedding_norm: mean length.
    - embedding_std: standard deviation of a dimension over the batch, mean over the dimensions.
    - embedding_std_min: that of the dimension that varies least.
    - effective_rank: how many dimensions the batch spreads over, between 1 and min(B - 1, D); 0 when it is one point.
      With p the singular values of the centred batch divided by their sum, exp(-sum p log p)  (Roy & Vetterli, The
      Effective Rank, 2007)

    The first two are over the anchors that have a positive, and 0 without any; K is `k`, also for identities that have
    fewer images in the batch. Images at no finite distance are nobody's neighbours.
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
    deviations = tf.math.reduce_std(embeddings, axis=0)  # (D,)
    return {
        "batch_top1": float(np.float32(of_anchors[:, 0].sum()) / anchors),
        "batch_precision@K-1": float(np.float32(of_anchors.sum()) / (anchors * neighbours)),
        "embedding_norm": float(tf.reduce_mean(tf.norm(embeddings, axis=1))),
        "embedding_std": float(tf.reduce_mean(deviations)),
        "embedding_std_min": float(tf.reduce_min(deviations)),
        "effective_rank": float(_effective_rank(embeddings)),
    }


def percentiles(values: dict[str, np.ndarray]) -> dict[str, float]:
    """The percentiles 5, 50 and 95 of each array's finite values, as `NAME_p5` ...; nothing where there is none."""
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

    The anchors are evenly spaced in the batch: all of them where it is not larger than `anchors`. An anchor's distance
    to itself is left out.
    """
    size = len(embeddings)
    chosen = min(anchors, size)
    rows = np.arange(chosen) * size // max(chosen, 1)
    ((_, distances, same, itself),) = blocks_of(labels, embeddings, metric, rows, block=anchors)
    return {"all": distances[~itself], "positive": distances[same & ~itself], "negative": distances[~same]}


def hardest_triplets(labels: tf.Tensor, embeddings: tf.Tensor, metric: str, count: int = 8) -> list[Triplet]:
    """The `count` anchors with the largest d(anchor, farthest positive) - d(anchor, nearest negative), worst first.

    At most one anchor of an identity, as long as there are enough identities. Anchors without a positive or a negative
    at a finite distance are left out.
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
        turns.append(seen[identity])  # how many anchors of its identity are worse
        seen[identity] += 1
    kept = worst_first[np.sort(np.argsort(np.array(turns, int), kind="stable")[:count])]
    return [Triplet(int(i), int(positive[i]), int(negative[i]), float(d_ap[i]), float(d_an[i])) for i in kept]


def blocks_of(
    labels: Any, embeddings: Any, metric: str, anchors: np.ndarray | None = None, block: int = _BLOCK
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Anchors against all images, some anchors at a time: (N,), (N, D), (A,) numbers of the anchors, all by default.

    Yields:
        The anchors (b,); their distances to all images, float32, whether these are of the same identity, and whether
        they are the anchor itself: (b, N) each.
    """
    labels, embeddings = np.asarray(labels), tf.convert_to_tensor(embeddings)
    anchors = np.arange(len(labels)) if anchors is None else anchors
    for start in range(0, len(anchors), block):
        rows = anchors[start : start + block]
        distances = pairwise(tf.gather(embeddings, rows), embeddings, metric).numpy()
        yield rows, distances, labels[rows, None] == labels, rows[:, None] == np.arange(len(labels))


@tf.function
def _effective_rank(embeddings: tf.Tensor) -> tf.Tensor:
    """exp of the entropy of the normalised singular values of the centred batch: (B, D) -> ()."""
    finite = tf.reduce_all(tf.math.is_finite(embeddings))
    embeddings = tf.where(finite, embeddings, 0.0)  # a decomposition of NaN may not come to an end
    size = tf.reduce_max(tf.abs(embeddings))
    embeddings = tf.math.divide_no_nan(embeddings, size)  # so that no square is too large or too small for float32
    centred = embeddings - tf.reduce_mean(embeddings, axis=0)
    spread = tf.reduce_max(tf.abs(centred)) > _FLAT
    singular = tf.linalg.svd(tf.where(spread, centred, 0.0), compute_uv=False)  # (min(B, D),)
    shares = tf.math.divide_no_nan(singular, tf.reduce_sum(singular))
    entropy = -tf.reduce_sum(tf.math.xlogy(shares, shares))
    return tf.where(spread, tf.exp(entropy), 0.0)
