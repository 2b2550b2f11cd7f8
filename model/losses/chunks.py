"""The anchors of a batch, one chunk at a time: distances, masks, and each anchor's positives by number.

A triplet loss over B embeddings has B x B distances and up to B^3 terms. Here at most (chunk, B) numbers exist at once,
because the r-th positive of every anchor is known without a mask. Sort the images by label: each identity is then one
stretch of positions. The positives of the image at position s are at s + 1, s + 2, ..., wrapping around at the end of
the stretch. So the terms of (anchor, r-th positive) with all negatives are one (chunk, B) array, for r = 1 to K - 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from model.losses.pairwise import Points, between, gradient_of, pull_back

CHUNK = 128  # time against memory: see docs/losses.md


class Groups(NamedTuple):
    """The images of a batch by identity.

    Attributes:
        codes: (N,) a number for each image's identity, below N; N itself marks images that are not usable.
        order: (N,) the images sorted by identity.
        start, size: (N,) where the image's identity begins in `order`, and how many images it has.
        place: (N,) where the image itself is in `order`.
        usable: (N,) False for images that are nobody's positive or negative; None if all are usable.
        number: the number of usable images, float32.
    """

    codes: tf.Tensor
    order: tf.Tensor
    start: tf.Tensor
    size: tf.Tensor
    place: tf.Tensor
    usable: tf.Tensor | None
    number: tf.Tensor


def group(labels: tf.Tensor, usable: tf.Tensor | None = None) -> Groups:
    """The groups of equal labels: (N,) integers, (N,) bool."""
    number = tf.shape(labels)[0]
    codes = tf.searchsorted(tf.sort(labels), labels)  # codes below N, in the order of the labels
    if usable is not None:  # unusable images get an identity of their own, the last one, which has no anchor
        codes = tf.where(usable, codes, number)
    order = tf.argsort(codes, stable=True)
    ordered = tf.gather(codes, order)
    begins = tf.searchsorted(ordered, codes, side="left")
    ends = tf.searchsorted(ordered, codes, side="right")
    place = tf.scatter_nd(order[:, None], tf.range(number), [number])
    counted = number if usable is None else tf.reduce_sum(tf.cast(usable, tf.int32))
    return Groups(codes, order, begins, ends - begins, place, usable, tf.cast(counted, tf.float32))


class Chunk:
    """A anchors against all N images. Padding anchors have no positives and no negatives.

    Attributes:
        distances: (A, N) float32.
        same: (A, N) whether the image has the anchor's identity; the anchor itself included.
        apart: (A, N) the distances to negatives, infinity elsewhere.
        positive_count, negative_count: (A,) float32.
        most: the largest number of positives; `positive(r)` takes r from 1 to this.
        farthest_positive, nearest_negative: (A,) distances; 0 and infinity if there is none.
        valid: (A,) whether the anchor has a positive and a negative.
        rows: (A,) the anchors' numbers among the images.
        real: (A,) False for padding anchors.
    """

    def __init__(self, groups: Groups, rows: tf.Tensor, real: tf.Tensor, distances: tf.Tensor) -> None:
        self._groups, self.rows, self.real, self.distances = groups, rows, real, distances
        self._start, self._size = tf.gather(groups.start, rows), tf.gather(groups.size, rows)
        self._place = tf.gather(groups.place, rows) - self._start
        self.most = tf.maximum(tf.reduce_max(self._size), 1) - 1  # without anchors, the maximum is -2^31
        self.positive_count = tf.where(real, tf.cast(self._size - 1, tf.float32), 0.0)
        self.negative_count = tf.where(real, groups.number - tf.cast(self._size, tf.float32), 0.0)
        self.valid = (self.positive_count > 0) & (self.negative_count > 0)
        self.same = same = tf.gather(groups.codes, rows)[:, None] == groups.codes[None, :]
        # The anchor itself, at distance 0, is no farther than any positive.
        self.farthest_positive = tf.reduce_max(tf.where(same, distances, 0.0), axis=1)
        excluded = same if groups.usable is None else same | ~groups.usable[None, :]
        self.apart = tf.where(excluded, float("inf"), distances)
        self.nearest_negative = tf.reduce_min(self.apart, axis=1)
        self._flat = tf.reshape(distances, [-1])

    @property
    def positives(self) -> tf.Tensor:
        """(A, N) bool."""
        return self.same & (self.rows[:, None] != tf.range(tf.shape(self.distances)[1])[None, :])

    def positive(self, r: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        """Each anchor's r-th positive (A,), 1 <= r <= most, and whether it exists (A,)."""
        found = self.real & (r < self._size)
        return tf.gather(self._groups.order, self._start + (self._place + r) % self._size), found

    def negative(self, number: tf.Tensor) -> tf.Tensor:
        """Each anchor's negative with the given number, 0 <= number < negative_count: (A,) -> (A,)."""
        place = number + tf.where(number < self._start, 0, self._size)
        return tf.gather(self._groups.order, tf.minimum(place, tf.shape(self._groups.order)[0] - 1))

    def distance_to(self, images: tf.Tensor) -> tf.Tensor:
        """Distance of each anchor to one image: (A,) -> (A,)."""
        return tf.gather(self._flat, tf.range(tf.shape(images)[0]) * tf.shape(self.distances)[1] + images)


def add_at(array: tf.Tensor, columns: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Adds one number in each row: (A, N), (A,), (A,) -> (A, N)."""
    rows = tf.range(tf.shape(columns)[0])
    return tf.tensor_scatter_nd_add(array, tf.stack([rows, columns], axis=1), values)


def over_chunks(
    function: Callable[[Chunk], tuple[tf.Tensor, tf.Tensor]],
    points: Points,
    groups: Groups,
    anchors: tuple[tf.Tensor | int, tf.Tensor | int],
    metric: str,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies a function to all anchors, and adds up the gradients of its results.

    Args:
        function: Chunk of A anchors -> values (A, F), and the gradient (A, N) of the sum of the first value by the
            distances.
        points: the embeddings of all N images.
        groups: of all N.
        anchors: (start, size): which of the N are anchors.
        metric: see `model.losses.pairwise`.

    Returns:
        The values (size, F), and the gradient by the embeddings (N, D) float32.
    """
    start, size = anchors
    count = -(-size // CHUNK)
    chunk = -(-size // count)  # chunks of about the same size

    def add(number: tf.Tensor | int, pulled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = number * chunk + tf.range(chunk)
        real = rows < size
        rows = start + tf.minimum(rows, size - 1)
        some = points.gather(rows)
        distances = between(some, points, metric)
        values, gradient = function(Chunk(groups, rows, real, distances))
        to_some, to_all = pull_back(some, points, distances, gradient, metric)
        return values, tf.tensor_scatter_nd_add(pulled + to_all, rows[:, None], to_some)

    def body(number: tf.Tensor, values: tf.TensorArray, pulled: tf.Tensor) -> tuple[Any, ...]:
        value, pulled = add(number, pulled)
        return number + 1, values.write(number, value), pulled

    pulled = tf.zeros_like(points.single)
    if isinstance(count, int) and count == 1:  # no loop: it would slow down small batches
        values, pulled = add(0, pulled)
    else:
        values = tf.TensorArray(tf.float32, size=count, element_shape=[None, None])
        loop = [tf.constant(0), values, pulled]
        _, values, pulled = tf.while_loop(lambda number, *_: number < count, body, loop, parallel_iterations=1)
        values = values.concat()[:size]
    return values, gradient_of(points, pulled)
