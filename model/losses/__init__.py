"""Triplet losses: one door, one module per strategy.

A module here is one strategy. It defines

    terms(distances, positives, negatives, excess) -> Terms

with `distances` (A, B) float32 from A anchors to the whole batch of B, the masks `positives` and `negatives` (A, B) of
the anchors' positives (same label, not itself) and negatives (other label), and `excess` = f of the docstring of
`triplet_loss`. What it gives back are sums and counts, so that the parts of a batch that is spread over several devices
add up to the loss of the whole batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from dataset import by_name
from model.distances import pairwise


class Terms(NamedTuple):
    """What a strategy adds up: scalars, float32.

    Attributes:
        total: the sum of the losses of its terms (anchors, pairs or triples).
        count: the number of terms that the mean is taken over.
        active: the number of terms with a loss above 0.
        valid: the number of terms that there are.
    """

    total: tf.Tensor
    count: tf.Tensor
    active: tf.Tensor
    valid: tf.Tensor


def triplet_loss(
    strategy: str,
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    margin: float | str,
    metric: str,
    *,
    anchors: tuple[tf.Tensor | int, int] | None = None,
    all_reduce: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The triplet loss of a batch.

    With D the distances, a an anchor, p its positives, n its negatives and f(x) = max(0, x + margin) for a number,
    softplus(x) for "soft", x for "none":

    - `batch_hard`: mean over a of f(max_p D[a,p] - min_n D[a,n])  (Hermans et al., section 2, equation 5)
    - `batch_all`: mean over the (a, p, n) with f > 0 of f(D[a,p] - D[a,n])  (section 2, equation 6)
    - `tf_batch_semi_hard`: mean over the (a, p) of f(D[a,p] - D[a,n*]), n* the nearest negative that is farther than
      p, else the farthest of all  (Schroff et al., FaceNet, section 3.2, as TensorFlow Addons defines it)

    Without any positive or negative the loss is 0, and so is its gradient. With NaN or infinity in the embeddings it
    is NaN.

    Args:
        strategy: the name of a module of this package.
        labels: (B,) integers or strings.
        embeddings: (B, D); computed in float32.
        margin: a number, "soft" or "none".
        metric: euclidean, sqeuclidean or cityblock.
        anchors: (start, size): only these rows are anchors, against the whole batch; None is all of them.
        all_reduce: sums a tensor over the replicas that hold the other anchors.

    Returns:
        The loss (a scalar; with `anchors`, this part's share of it: the shares add up to the loss of the batch), and
        monitors, scalars of the whole batch: active_fraction (terms with loss > 0), valid_terms (their number),
        hardest_positive and hardest_negative (mean distance over the anchors that have both).

    Raises:
        ValueError: for labels that are not a vector as long as the batch, or an unknown margin or metric.
        UserError: for an unknown strategy.
    """
    labels, embeddings = tf.convert_to_tensor(labels), tf.convert_to_tensor(embeddings)
    if labels.shape.rank != 1 or embeddings.shape.rank != 2:
        raise ValueError(f"labels must be (B,) and embeddings (B, D), not {labels.shape} and {embeddings.shape}")
    if not labels.shape.is_compatible_with(embeddings.shape[:1]):
        raise ValueError(f"{labels.shape[0]} labels for {embeddings.shape[0]} embeddings")
    module = by_name.load("model.losses", strategy)

    start, size = anchors if anchors is not None else (0, tf.shape(embeddings)[0])
    rows = tf.range(start, start + size)
    distances = pairwise(embeddings[start : start + size], embeddings, metric)  # (A, B)
    same = labels[start : start + size, None] == labels[None, :]
    itself = rows[:, None] == tf.range(tf.shape(embeddings)[0])[None, :]
    positives, negatives = same & ~itself, ~same

    terms = module.terms(distances, positives, negatives, excess_of(margin))
    # The count has no gradient: it may change only in jumps.
    # Comparisons with NaN are false, so that mining could pass over it: broken embeddings have no loss.
    finite = tf.reduce_all(tf.math.is_finite(embeddings))
    total = tf.where(finite, terms.total, float("nan"))
    loss = total / tf.maximum(all_reduce(tf.stop_gradient(terms.count)), 1.0)
    monitors = _monitors(terms, distances, positives, negatives, all_reduce)
    return loss, {name: tf.stop_gradient(value) for name, value in monitors.items()}


def excess_of(margin: float | str) -> Callable[[tf.Tensor], tf.Tensor]:
    """f of `triplet_loss`, for a margin."""
    if margin == "soft":
        return tf.nn.softplus
    if margin == "none":
        return tf.identity
    if isinstance(margin, str | bool):
        raise ValueError(f'unknown margin {margin!r}; it must be a number, "soft" or "none"')
    return lambda x: tf.nn.relu(x + margin)


def hardest(distances: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Per anchor the farthest positive and the nearest negative, and whether it has both: each (A,).

    Anchors that lack one of them get distances 0.
    """
    infinity = float("inf")
    valid = tf.reduce_any(positives, axis=1) & tf.reduce_any(negatives, axis=1)
    farthest = tf.reduce_max(tf.where(positives, distances, -infinity), axis=1)
    nearest = tf.reduce_min(tf.where(negatives, distances, infinity), axis=1)
    return tf.where(valid, farthest, 0.0), tf.where(valid, nearest, 0.0), valid


def count(mask: tf.Tensor) -> tf.Tensor:
    """The number of true values: a float32 scalar."""
    return tf.reduce_sum(tf.cast(mask, tf.float32))


def _monitors(
    terms: Terms,
    distances: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    all_reduce: Callable[[tf.Tensor], tf.Tensor],
) -> dict[str, tf.Tensor]:
    farthest, nearest, valid = hardest(distances, positives, negatives)
    sums = tf.stack([terms.active, terms.valid, tf.reduce_sum(farthest), tf.reduce_sum(nearest), count(valid)])
    active, valid_terms, positive, negative, anchors = tf.unstack(all_reduce(tf.stop_gradient(sums)))
    return {
        "active_fraction": tf.math.divide_no_nan(active, valid_terms),
        "valid_terms": valid_terms,
        "hardest_positive": tf.math.divide_no_nan(positive, anchors),
        "hardest_negative": tf.math.divide_no_nan(negative, anchors),
    }
