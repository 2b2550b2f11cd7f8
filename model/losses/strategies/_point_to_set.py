"""Hard-aware point-to-set distances (Yu et al., Hard-Aware Point-to-Set Deep Metric for Person Re-identification).

The distance from an anchor to a set of points is a weighted mean over the set, with more weight on the hard points: far
positives and near negatives. The weights are a softmax of scores s(d):

    S = sum_j w_j d_j,  w = softmax(s(d)),  dS/dd_j = w_j (1 + s'(d_j) (d_j - S)).

In this form, no sum of tiny powers can vanish.
"""

from collections.abc import Callable

import tensorflow as tf

from model.losses.chunks import Chunk
from model.losses.margins import Margin
from model.losses.terms import Terms

Scores = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor | float]]


def point_to_set_terms(chunk: Chunk, margin: Margin, positive_scores: Scores, negative_scores: Scores) -> Terms:
    """One term per anchor with a positive and a negative: f(S of its positives - S of its negatives).

    Args:
        chunk: A anchors.
        margin: the loss of a triplet.
        positive_scores, negative_scores: distances -> (s, s'), element by element.
    """
    valid = tf.cast(chunk.valid, tf.float32)
    to_positives, positive_gradient = _distance_to_set(chunk.distances, chunk.positives, positive_scores)
    to_negatives, negative_gradient = _distance_to_set(chunk.distances, tf.math.is_finite(chunk.apart), negative_scores)
    value, slope, active = (valid * part for part in margin(to_positives - to_negatives))
    gradient = slope[:, None] * (positive_gradient - negative_gradient)
    return Terms(value, valid, active, valid, gradient)


def _distance_to_set(distances: tf.Tensor, members: tf.Tensor, scores: Scores) -> tuple[tf.Tensor, tf.Tensor]:
    """(A, N), (A, N) -> S (A,) and its gradient (A, N); both 0 for the empty set."""
    score, slope = scores(distances)
    score = tf.where(members, score, -float("inf"))
    highest = tf.reduce_max(score, axis=1, keepdims=True)
    weights = tf.exp(score - tf.where(tf.math.is_finite(highest), highest, 0.0))
    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=1, keepdims=True))
    mean = tf.reduce_sum(weights * distances, axis=1, keepdims=True)  # (A, 1)
    return mean[:, 0], weights * (1.0 + slope * (distances - mean))
