"""Terms added to the triplet loss: classification of identities, centre loss, and a memory of past embeddings."""

import keras
import tensorflow as tf

from model.configuration.params import Params
from model.losses.triplet import Memory

# For variables that each replica assigns for itself.
_OF_REPLICA = {
    "trainable": False,
    "synchronization": tf.VariableSynchronization.ON_READ,
    "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
}


class Classification(tf.Module):
    """Softmax cross entropy over the training identities, on (batch norm and) a linear layer without bias."""

    def __init__(self, params: Params, identities: int, *, size: int | None = None, batch_norm: bool = True) -> None:
        """Args:
        params: the term's parameters.
        identities: I, number of training identities.
        size: C, width of the classifier's input; None is `embedding_size`.
        batch_norm: normalise the input first; False if the head has done so.
        """
        super().__init__(name="classification")
        self._temperature, self._smoothing = params.classification_temperature, params.label_smoothing
        layers = [keras.Input((size or params.embedding_size,))]
        if batch_norm:
            layers.append(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32"))
        layers.append(keras.layers.Dense(identities, use_bias=False, dtype="float32"))
        self.classifier = keras.Sequential(layers, name="classifier")

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of the classifier, which TensorFlow does not find in a module by itself."""
        return self.classifier.variables

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The variables that the optimizer changes."""
        return self.classifier.trainable_variables

    def __call__(self, labels: tf.Tensor, classified: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """(B,) int32, (B, C) -> mean cross entropy, and the accuracy.

        With label smoothing e, the target is 1 - e for the identity, plus e / I for each of the I identities (Szegedy
        et al., Rethinking the Inception Architecture, section 7).
        """
        logits = self.classifier(classified, training=True) / self._temperature  # (B, I)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)  # (B,)
        if self._smoothing:
            to_all = tf.reduce_logsumexp(logits, axis=1) - tf.reduce_mean(logits, axis=1)
            entropy = (1.0 - self._smoothing) * entropy + self._smoothing * to_all
        right = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
        return tf.reduce_mean(entropy), {"classification_accuracy": tf.reduce_mean(tf.cast(right, tf.float32))}


class CenterLoss(tf.Module):
    """Half the squared distance to the centre of the identity, averaged over the batch.

    Centres are not weights: they follow the embeddings (Wen et al., A Discriminative Feature Learning Approach for Deep
    Face Recognition, equations 2 to 4). Each replica has its own copy, with equal content.
    """

    def __init__(self, params: Params, identities: int) -> None:
        super().__init__(name="center_loss")
        self._rate = params.center_loss_rate
        self._centers = tf.Variable(tf.zeros([identities, params.embedding_size]), name="centers", **_OF_REPLICA)

    def __call__(self, labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
        """(B,) int32, (B, D) -> scalar."""
        own = tf.gather(tf.convert_to_tensor(self._centers), labels)  # (B, D)
        return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(embeddings - own), axis=1))

    def move(self, labels: tf.Tensor, embeddings: tf.Tensor) -> None:
        """Moves the centres of the batch's identities: c += rate * sum(e - c) / (1 + n), for n images of each."""
        centers = tf.convert_to_tensor(self._centers)
        differences = embeddings - tf.gather(centers, labels)  # (B, D)
        same = tf.cast(labels[:, None] == labels[None, :], tf.float32)
        steps = self._rate * differences / (1.0 + tf.reduce_sum(same, axis=1, keepdims=True))
        self._centers.assign(tf.tensor_scatter_nd_add(centers, labels[:, None], steps))


class CrossBatchMemory(tf.Module):
    """The last M embeddings and their labels, as additional positives and negatives of the triplet loss.

    Wang et al., Cross-Batch Memory for Embedding Learning, section 3.2. Each replica has its own copy, with equal
    content.
    """

    def __init__(self, size: int, dimensions: int, start_step: int) -> None:
        """Args:
        size: M.
        dimensions: D.
        start_step: the memory stays empty before this step.
        """
        super().__init__(name="memory")
        self._size, self._start_step = size, start_step
        self._embeddings = tf.Variable(tf.zeros([size, dimensions]), name="embeddings", **_OF_REPLICA)
        self._labels = tf.Variable(tf.zeros([size], tf.int32), name="labels", **_OF_REPLICA)
        self._added = tf.Variable(0, dtype=tf.int64, name="added", **_OF_REPLICA)

    def read(self) -> Memory:
        """The content, as `triplet_loss` takes it."""
        filled = tf.range(self._size, dtype=tf.int64) < self._added
        return Memory(tf.convert_to_tensor(self._labels), tf.convert_to_tensor(self._embeddings), filled)

    def add(self, labels: tf.Tensor, embeddings: tf.Tensor, step: tf.Tensor) -> None:
        """Replaces the oldest entries by a batch, (B,) int32 and (B, D); `step` is the number of steps done before."""
        number = min(self._size, embeddings.shape[0])  # the last ones of a batch that is larger than the memory
        labels, embeddings = labels[-number:], tf.cast(embeddings[-number:], tf.float32)
        places = (self._added + tf.range(number, dtype=tf.int64)) % self._size
        started = step >= self._start_step
        for variable, values in ((self._labels, labels), (self._embeddings, embeddings)):
            old = tf.convert_to_tensor(variable)
            variable.assign(tf.where(started, tf.tensor_scatter_nd_update(old, places[:, None], values), old))
        self._added.assign_add(tf.where(started, tf.constant(number, tf.int64), tf.constant(0, tf.int64)))
