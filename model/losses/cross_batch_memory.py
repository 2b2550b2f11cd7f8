"""Cross-batch memory: embeddings of past batches as further positives and negatives (Wang et al., Cross-Batch Memory
for Embedding Learning, section 3.2)."""

import tensorflow as tf

from model.losses.triplet import Memory


class CrossBatchMemory(tf.Module):
    """The last M embeddings with their labels, in a ring. On several replicas each has a copy, with equal content."""

    def __init__(self, size: int, dimensions: int, start_step: int) -> None:
        """Args:
        size: M.
        dimensions: D.
        start_step: steps before it leave the memory empty.
        """
        super().__init__(name="memory")
        self._size, self._start_step = size, start_step
        local = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self._embeddings = tf.Variable(tf.zeros([size, dimensions]), name="embeddings", **local)
        self._labels = tf.Variable(tf.zeros([size], tf.int32), name="labels", **local)
        self._added = tf.Variable(0, dtype=tf.int64, name="added", **local)

    def read(self) -> Memory:
        """What a triplet loss takes."""
        filled = tf.range(self._size, dtype=tf.int64) < self._added
        return Memory(tf.convert_to_tensor(self._labels), tf.convert_to_tensor(self._embeddings), filled)

    def add(self, labels: tf.Tensor, embeddings: tf.Tensor, step: tf.Tensor) -> None:
        """Puts a batch, (B,) int32 and (B, D), in the place of the oldest; step: steps done before this one."""
        number = min(self._size, embeddings.shape[0])  # of a batch larger than the memory, the last ones
        labels, embeddings = labels[-number:], tf.cast(embeddings[-number:], tf.float32)
        places = (self._added + tf.range(number, dtype=tf.int64)) % self._size
        started = step >= self._start_step
        for variable, values in ((self._labels, labels), (self._embeddings, embeddings)):
            old = tf.convert_to_tensor(variable)
            variable.assign(tf.where(started, tf.tensor_scatter_nd_update(old, places[:, None], values), old))
        self._added.assign_add(tf.where(started, tf.constant(number, tf.int64), tf.constant(0, tf.int64)))
