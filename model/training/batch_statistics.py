"""How a batch of embeddings stands: figures for curves, distances for histograms, the triplets that are wrong most.

All of it is for logged steps only. Anchors are taken in chunks, so that memory grows with the size of the batch and not
with its square.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from model.losses.pairwise import pairwise

Rows = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]

_CHUNK = 128  # anchors at a time
_FLAT = 1e-6  # a spread of so small a part of the values is float32's rounding


class Triplet(NamedTuple):
    """An anchor with its farthest positive and its nearest negative: positions in the batch, and distances."""

    anchor: int
    positive: int
    negative: int
    d_ap: float
    d_an: float


@tf.function
def batch_statistics(labels: tf.Tensor, embeddings: tf.Tensor, metric: str, k: int) -> dict[str, tf.Tensor]:
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
    size = tf.shape(embeddings)[0]
    neighbours = max(k - 1, 1)
    present = tf.minimum(neighbours, size)

    def hits_of(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        distances, same, itself = _rows(labels, embeddings, metric, rows)
        farness = tf.where(tf.math.is_finite(distances) & ~itself, distances, np.inf)
        values, nearest = tf.math.top_k(-farness, present)  # (A, K - 1)
        hits = tf.gather(labels, nearest) == tf.gather(labels, rows)[:, None]
        return tf.cast(hits & tf.math.is_finite(values), tf.float32), tf.reduce_any(same & ~itself, axis=1)

    hits, has_positive = _over_chunks(hits_of, size, (tf.float32, tf.bool))
    weights = tf.cast(has_positive, tf.float32)
    anchors = tf.reduce_sum(weights)
    deviations = tf.math.reduce_std(embeddings, axis=0)  # (D,)
    return {
        "batch_top1": tf.math.divide_no_nan(tf.reduce_sum(weights * hits[:, 0]), anchors),
        "batch_precision@K-1": tf.math.divide_no_nan(
            tf.reduce_sum(weights * tf.reduce_sum(hits, axis=1)), anchors * neighbours
        ),
        "embedding_norm": tf.reduce_mean(tf.norm(embeddings, axis=1)),
        "embedding_std": tf.reduce_mean(deviations),
        "embedding_std_min": tf.reduce_min(deviations),
        "effective_rank": _effective_rank(embeddings),
    }


def anchor_statistics(values: dict[str, np.ndarray]) -> dict[str, float]:
    """The percentiles 5, 50 and 95 over the anchors, as `hardest_positive_p5` and so on.

    Args:
        values: (B,) each: `valid` (a mask: the anchor has positives and negatives), `losses`, whose percentiles are
            named `anchor_loss_p5` ..., and any others, such as hardest_positive and hardest_negative.

    Returns:
        The percentiles of the finite values of valid anchors; nothing where there is none.
    """
    valid = np.asarray(values["valid"], bool)
    percentiles = {}
    for name, of_anchors in values.items():
        if name == "valid":
            continue
        of_anchors = np.asarray(of_anchors)
        chosen = of_anchors[valid & np.isfinite(of_anchors)]
        if len(chosen):
            name = "anchor_loss" if name == "losses" else name
            numbers = np.percentile(chosen, [5, 50, 95])
            percentiles |= {f"{name}_p{p}": float(number) for p, number in zip((5, 50, 95), numbers, strict=True)}
    return percentiles


def distance_samples(
    labels: tf.Tensor, embeddings: tf.Tensor, metric: str, anchors: int = 128
) -> dict[str, np.ndarray]:
    """Distances of some anchors to the whole batch, for histograms: (B,), (B, D) -> all, positive, negative, each 1-D.

    The anchors are evenly spaced in the batch: all of them where it is not larger than `anchors`. An anchor's distance
    to itself is left out.
    """
    size = int(embeddings.shape[0])
    chosen = min(anchors, size)
    rows = tf.constant(np.arange(chosen) * size // max(chosen, 1), tf.int32)
    distances, same, itself = (x.numpy() for x in _rows(labels, embeddings, metric, rows))
    return {"all": distances[~itself], "positive": distances[same & ~itself], "negative": distances[~same]}


def hardest_triplets(labels: tf.Tensor, embeddings: tf.Tensor, metric: str, count: int = 8) -> list[Triplet]:
    """The `count` anchors with the largest d(anchor, farthest positive) - d(anchor, nearest negative), worst first.

    At most one anchor of an identity, as long as there are enough identities. Anchors without a positive or a negative
    at a finite distance are left out.
    """
    positive, negative, d_ap, d_an = (x.numpy() for x in _hardest(labels, embeddings, metric))
    valid = np.flatnonzero(np.isfinite(d_ap) & np.isfinite(d_an))
    worst_first = valid[np.argsort(d_an[valid] - d_ap[valid], kind="stable")]
    seen, turns = Counter(), []
    for identity in np.asarray(labels)[worst_first].tolist():
        turns.append(seen[identity])  # how many anchors of its identity are worse
        seen[identity] += 1
    chosen = np.sort(np.argsort(np.array(turns, int), kind="stable")[:count])
    return [
        Triplet(int(i), int(positive[i]), int(negative[i]), float(d_ap[i]), float(d_an[i])) for i in worst_first[chosen]
    ]


@tf.function
def _hardest(labels: tf.Tensor, embeddings: tf.Tensor, metric: str) -> tuple[tf.Tensor, ...]:
    """Per anchor the farthest positive and nearest negative and their distances, infinite where there is none: (B,)."""

    def hardest_of(rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
        distances, same, itself = _rows(labels, embeddings, metric, rows)
        finite = tf.math.is_finite(distances)
        to_positives = tf.where(same & ~itself & finite, distances, -np.inf)
        to_negatives = tf.where(~same & finite, distances, np.inf)
        return (
            tf.argmax(to_positives, axis=1),
            tf.argmin(to_negatives, axis=1),
            tf.reduce_max(to_positives, axis=1),
            tf.reduce_min(to_negatives, axis=1),
        )

    return _over_chunks(hardest_of, tf.shape(embeddings)[0], (tf.int64, tf.int64, tf.float32, tf.float32))


def _rows(labels: tf.Tensor, embeddings: tf.Tensor, metric: str, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Distances of the anchors `rows` to the batch, and the masks of the same identity and of itself: (A, B) each."""
    labels, embeddings = tf.convert_to_tensor(labels), tf.convert_to_tensor(embeddings)
    distances = pairwise(tf.gather(embeddings, rows), embeddings, metric)
    same = tf.gather(labels, rows)[:, None] == labels[None, :]
    return distances, same, rows[:, None] == tf.range(tf.shape(labels)[0])[None, :]


def _over_chunks(function: Rows, size: tf.Tensor, dtypes: tuple[tf.DType, ...]) -> tuple[tf.Tensor, ...]:
    """What `function` gives for the rows 0 .. size - 1, which it gets in chunks of one length, one after the other."""
    chunk = tf.minimum(_CHUNK, size)
    chunks = (size + chunk - 1) // chunk
    rows = tf.minimum(tf.range(chunks * chunk), size - 1)  # the last chunk is filled up with the last row
    results = tf.map_fn(function, tf.reshape(rows, [chunks, chunk]), fn_output_signature=dtypes, parallel_iterations=1)
    return tuple(tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], axis=0))[:size] for x in results)


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
