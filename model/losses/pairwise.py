"""Distances of embeddings, and the gradient by the embeddings from a gradient by the distances.

Distances come from one matrix product, |a - b|^2 = |a|^2 + |b|^2 - 2 ab, in float64, and are rounded to float32. In
float32 the difference would cancel: two equal embeddings would be 3e-4 of their length apart, ties would not be ties,
and on GPUs that multiply in TF32 all small distances would be wrong.
"""

from types import ModuleType
from typing import NamedTuple

import tensorflow as tf

from model.distances import find_distance, has_unit_length, is_squared

# Squared distances below this fraction of the squared lengths count as rounding errors of float64.
_NOTHING = 2.0**-45

# Numbers in a block of differences (dimensions, rows, columns), for distances that are sums over the dimensions.
_BLOCK = 2**17


class Points(NamedTuple):
    """Embeddings prepared once for many blocks of distances.

    Attributes:
        factor: (N, D + 2) float64: the points, ones, and their squared lengths. `between` multiplies with them.
        single: (N, D + 2) float32, the same rounded. `pull_back` multiplies with them. It does not need the last
            column, but dropping it would take a copy.
        centre: (D,) float32, which was subtracted from the points.
        scale: (N, 1) float32, which the embeddings were multiplied by for length 1; None if they were not.
    """

    factor: tf.Tensor
    single: tf.Tensor
    centre: tf.Tensor
    scale: tf.Tensor | None

    def gather(self, rows: tf.Tensor) -> "Points":
        """Some of the points, by their numbers (A,)."""
        scale = None if self.scale is None else tf.gather(self.scale, rows)
        return Points(tf.gather(self.factor, rows), tf.gather(self.single, rows), self.centre, scale)


def pairwise(a: tf.Tensor, b: tf.Tensor, metric: str) -> tf.Tensor:
    """Distances from every row of `a` to every row of `b`: (A, D), (B, D) -> (A, B) float32, exactly 0 for equal rows.

    `metric` is the name of a module of `model.distances`. Dividing by the length leaves the zero vector as it is (its
    cosine distance to all others is 1/2). Not differentiable: `pull_back` computes the gradient.

    Raises:
        UserError: for an unknown metric.
    """
    targets = points_of(b, metric)
    return between(points_of(a, metric, tf.cast(targets.centre, tf.float64)), targets, metric)


def points_of(embeddings: tf.Tensor, metric: str, centre: tf.Tensor | None = None) -> Points:
    """(N, D) -> Points: divided by their length if the metric asks for that, less the mean (or `centre`, (D,) float64).

    Subtracting the mean changes no distance, but reduces rounding errors: a collapsing network puts all embeddings near
    one point far from 0.

    Raises:
        UserError: for an unknown metric.
    """
    points, scale = tf.cast(embeddings, tf.float64), None
    if has_unit_length(metric):
        lengths = tf.norm(points, axis=1, keepdims=True)
        inverse = tf.math.divide_no_nan(tf.ones_like(lengths), lengths)
        points, scale = points * inverse, tf.cast(inverse, tf.float32)
    if centre is None:  # rounded, so it is the same wherever it is used
        centre = tf.cast(tf.cast(tf.reduce_mean(points, axis=0), tf.float32), tf.float64)
    points -= centre
    squares = tf.einsum("nd,nd->n", points, points)[:, None]
    factor = tf.concat([points, tf.ones_like(squares), squares], axis=1)
    return Points(factor, tf.cast(factor, tf.float32), tf.cast(centre, tf.float32), scale)


def between(a: Points, b: Points, metric: str) -> tf.Tensor:
    """Distances from A points to B points: (A, B) float32."""
    points, one, squares = a.factor[:, :-2], a.factor[:, -2:-1], a.factor[:, -1:]
    distance = find_distance(metric)
    if not is_squared(metric):
        return _sum_over_dimensions(points, b.factor[:, :-2], distance)
    # The squared lengths are two more columns of the product. One of them is made smaller by more than the product's
    # rounding error. Equal points then give a number below 0, which becomes 0.
    left = tf.concat([-2.0 * points, (1.0 - _NOTHING) * squares, one], axis=1)
    squared = tf.nn.relu(tf.cast(tf.matmul(left, b.factor, transpose_b=True), tf.float32))  # (A, B)
    return distance.of_squared(squared, tf)


def pull_back(
    a: Points, b: Points, distances: tf.Tensor, gradient: tf.Tensor, metric: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradient by both sides of a function of `distances = between(a, b)`, in the form `gradient_of` takes.

    Let G be the gradient by the distances, and w the metric's `weights`, such as G / d (euclidean, 0 where d = 0). The
    gradient by a_i is a_i sum_j w_ij - sum_j w_ij b_j; the gradient by b_j is b_j sum_i w_ij - sum_i w_ij a_i. This
    function returns the two sums, which can be added up over blocks.

    Args:
        a, b: A points, B points.
        distances: (A, B) float32.
        gradient: G, (A, B) float32.
        metric: of `distances`.

    Returns:
        (A, D + 2) and (B, D + 2) float32: sum of w times the other side, sum of w, and an unused column.
    """
    distance = find_distance(metric)
    if not is_squared(metric):
        return _pull_back_sum(a.factor[:, :-2], b.factor[:, :-2], gradient, distance)
    gradient = distance.weights(gradient, distances, tf)
    return tf.matmul(gradient, b.single), tf.matmul(gradient, a.single, transpose_a=True)


def gradient_of(points: Points, pulled: tf.Tensor) -> tf.Tensor:
    """The gradient by the embeddings: sums of `pull_back`'s results (N, D + 2) -> (N, D) float32."""
    single = points.single[:, :-2]
    gradient = single * pulled[:, -2:-1] - pulled[:, :-2]
    if points.scale is None:
        return gradient
    # The division by the length keeps only the part perpendicular to the embedding.
    single += points.centre
    along = tf.reduce_sum(gradient * single, axis=1, keepdims=True)
    return points.scale * (gradient - along * single)


def _sum_over_dimensions(a: tf.Tensor, b: tf.Tensor, distance: ModuleType) -> tf.Tensor:
    """Distances (A, B), one block of dimensions at a time: (A, B, D) would not fit into memory."""
    blocks_a, blocks_b = _blocks(a, b)

    def add(i: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        differences = blocks_a[i][:, :, None] - blocks_b[i][:, None, :]  # (d, A, B)
        return i + 1, total + tf.reduce_sum(distance.of_differences(differences, tf), axis=0)

    start = tf.zeros([tf.shape(a)[0], tf.shape(b)[0]], tf.float64)
    _, total = tf.while_loop(lambda i, _: i < tf.shape(blocks_a)[0], add, [0, start], parallel_iterations=1)
    return tf.cast(total, tf.float32)


def _pull_back_sum(
    a: tf.Tensor, b: tf.Tensor, gradient: tf.Tensor, distance: ModuleType
) -> tuple[tf.Tensor, tf.Tensor]:
    blocks_a, blocks_b = _blocks(a, b)

    def block(both: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        slopes = distance.slopes(both[0][:, :, None] - both[1][:, None, :], tf)  # (d, A, B)
        slopes = tf.cast(slopes, tf.float32) * gradient
        return -tf.reduce_sum(slopes, axis=2), tf.reduce_sum(slopes, axis=1)

    signature = (tf.float32, tf.float32)
    to_a, to_b = tf.map_fn(block, (blocks_a, blocks_b), parallel_iterations=1, fn_output_signature=signature)
    return _from_blocks(to_a, a), _from_blocks(to_b, b)


def _blocks(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(A, D), (B, D) -> (blocks, d, A), (blocks, d, B); zeros fill up the last block."""
    dimensions = a.shape[1]
    size = max(1, min(dimensions, _BLOCK // max(1, (a.shape[0] or 128) * (b.shape[0] or 1024))))
    count = -(-dimensions // size)
    fill = [[0, count * size - dimensions], [0, 0]]
    return tuple(tf.reshape(tf.pad(tf.transpose(x), fill), [count, size, tf.shape(x)[0]]) for x in (a, b))


def _from_blocks(blocks: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """(blocks, d, A) -> (A, D + 2); the sum of weights, which this kind of distance does not have, is 0."""
    gradient = tf.transpose(tf.reshape(blocks, [-1, tf.shape(blocks)[2]])[: like.shape[1]])
    return tf.pad(gradient, [[0, 0], [0, 2]])
