"""The triplet loss of a batch, by any strategy.

D are the distances, a is an anchor, p its positives, n its negatives. f(x) is max(0, x + margin) for a number,
softplus(x) for "soft", x for "none".

- `batch_hard`: mean over a of f(max_p D[a,p] - min_n D[a,n])  (Hermans et al., section 2, equation 5)
- `batch_all`: mean over the (a, p, n) with f > 0, or over all, of f(D[a,p] - D[a,n])  (section 2, equation 6)
- `batch_sample`: mean over a of f(D[a,p] - D[a,n]), p and n drawn at random  (section 2, "batch sample")
- `tf_batch_semi_hard`: mean over the (a, p) of f(D[a,p] - D[a,n*]), n* the nearest negative that is farther than p,
  else the farthest of all  (the mining of FaceNet, as TensorFlow Addons defines it)
- `batch_semi_hard`: the same, but (a, p) without a negative beyond p are skipped  (Schroff et al., FaceNet, section
  3.2, equation 4; the text's upper bound by the margin would change only the divisor)
- `hap2s_p`, `hap2s_e`: mean over a of f(weighted mean of D[a,p] - weighted mean of D[a,n]), hard points weighing more
  (Yu et al., Hard-Aware Point-to-Set Deep Metric, section 3.2)
- `basic`: mean over fixed triplets, rows 3t, 3t + 1, 3t + 2, of f(D[a,p] - D[a,n])

Without any positive or negative, loss and gradient are 0. If an embedding is NaN or infinite, the loss is NaN. In
`batch_hard`, distances that tie for a maximum or minimum share the gradient evenly; in the semi-hard strategies the
first negative gets it. For B embeddings and M in memory, memory is O(chunk x (B + M)), and time is O(B (B + M) K).
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from model.losses.chunks import Chunk, group, over_chunks
from model.losses.margins import margin_of
from model.losses.pairwise import points_of
from model.losses.terms import Options
from runtime import plugins


class Memory(NamedTuple):
    """Past embeddings that serve as additional positives and negatives, without gradient.

    Attributes:
        labels: (M,).
        embeddings: (M, D).
        filled: (M,) bool: False for places that are still empty.
    """

    labels: tf.Tensor
    embeddings: tf.Tensor
    filled: tf.Tensor


class AnchorValues(NamedTuple):
    """Values of every anchor of the whole batch: (B,) float32 each, without gradient.

    `total`, `count`, `active` and `valid` are those of `Terms`. `hardest_positive` and `hardest_negative` are the
    distances to the farthest positive and to the nearest negative, 0 if the anchor lacks one. `complete` is 1 if it has
    both.
    """

    total: tf.Tensor
    count: tf.Tensor
    active: tf.Tensor
    valid: tf.Tensor
    hardest_positive: tf.Tensor
    hardest_negative: tf.Tensor
    complete: tf.Tensor

    def monitors(self) -> dict[str, tf.Tensor]:
        """Scalars: active_fraction, valid_terms, complete_anchors; mean hardest distances over the complete anchors."""
        # In float64: there may be more terms than float32 can count.
        sums = tf.reduce_sum(tf.cast(tf.stack(self[2:]), tf.float64), axis=1)
        active, valid, positive, negative, complete = tf.unstack(sums)
        return {
            "active_fraction": tf.math.divide_no_nan(active, valid),
            "valid_terms": valid,
            "complete_anchors": complete,
            "hardest_positive": tf.math.divide_no_nan(positive, complete),
            "hardest_negative": tf.math.divide_no_nan(negative, complete),
        }


def triplet_loss(
    strategy: str,
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    margin: float | str,
    metric: str,
    *,
    batch_all_mean: str = "active",
    seed: tf.Tensor | tuple[int, int] = (0, 0),
    memory: Memory | None = None,
    anchors: tuple[tf.Tensor | int, int] | None = None,
    all_reduce: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tuple[tf.Tensor, AnchorValues]:
    """The triplet loss of a batch, and the values of every anchor; the module's docstring has the formulas.

    Args:
        strategy: a module of `model.losses.strategies`.
        labels: (B,) integers.
        embeddings: (B, D) of any float type and known D; computed in float32 on distances from float64.
        margin: a number, "soft" or "none".
        metric: a module of `model.distances`.
        batch_all_mean: "active" or "valid".
        seed: two integers, the random seed of `batch_sample`.
        memory: past embeddings, if any.
        anchors: (start, size): only these rows are anchors, against the whole batch; None is all of them.
        all_reduce: sums a tensor over the replicas that hold the other anchors.

    Returns:
        The loss (a scalar; with `anchors`, the share of these anchors: the shares add up to the loss of the batch), and
        the values of every anchor of the whole batch.

    Raises:
        UserError: for an unknown strategy or metric.
    """
    labels, embeddings = tf.convert_to_tensor(labels), tf.convert_to_tensor(embeddings)
    module, cost = plugins.load("model.losses.strategies", strategy), margin_of(margin)
    batch = tf.shape(embeddings)[0] if embeddings.shape[0] is None else embeddings.shape[0]
    anchors = anchors or (0, batch)

    usable = past = None
    if memory is not None:
        labels = tf.concat([labels, memory.labels], axis=0)
        usable = tf.concat([tf.ones([batch], tf.bool), memory.filled], axis=0)
        past = tf.stop_gradient(tf.cast(memory.embeddings, tf.float32))  # (M, D)
    groups = group(labels, usable)
    # The algorithm is named because each compiler would choose a different one.
    random = tf.random.stateless_uniform([tf.shape(labels)[0], 2], seed, alg="philox")
    options = Options(batch_all_mean, random)

    def of_chunk(chunk: Chunk) -> tuple[tf.Tensor, tf.Tensor]:
        terms = module.terms(chunk, cost, options)
        complete = tf.cast(chunk.valid, tf.float32)
        farthest = tf.where(chunk.valid, chunk.farthest_positive, 0.0)
        nearest = tf.where(chunk.valid, chunk.nearest_negative, 0.0)
        return tf.stack([*terms[:4], farthest, nearest, complete], axis=1), terms.gradient  # (A, 7), (A, N)

    @tf.custom_gradient
    def sum_of_losses(embeddings: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[..., tf.Tensor]]:
        points = points_of(embeddings if memory is None else tf.concat([embeddings, past], axis=0), metric)
        values, gradient = over_chunks(of_chunk, points, groups, anchors, metric)
        total, gradient = tf.reduce_sum(values[:, 0]), gradient[:batch]
        # Comparisons with NaN are false, so mining could skip it: a NaN or infinite embedding makes the loss NaN.
        total = tf.where(tf.reduce_all(tf.math.is_finite(points.factor)), total, float("nan"))
        return (total, values), lambda upstream, _: upstream * gradient

    total, values = sum_of_losses(tf.cast(embeddings, tf.float32))
    values = tf.stop_gradient(values)
    start, size = anchors
    values = all_reduce(tf.pad(values, [[start, batch - start - size], [0, 0]]))  # (B, 7), of all replicas
    values = AnchorValues(*tf.unstack(values, axis=1))
    # The count has no gradient: it changes only in jumps.
    return total / tf.maximum(tf.reduce_sum(values.count), 1.0), values
