"""Terms beside the triplet loss: a classification of identities, and a centre loss."""

import keras
import tensorflow as tf

from model.configuration.params import Params


class Classification(tf.Module):
    """Softmax cross entropy over the training identities, on a linear layer without bias, after batch norm or not."""

    def __init__(self, params: Params, identities: int, *, size: int | None = None, batch_norm: bool = True) -> None:
        """Args:
        params: the term's parameters.
        identities: I, number of training identities.
        size: C, width of what is classified; None is `embedding_size`.
        batch_norm: normalise it first; not where a head has done so.
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
        """Those of the classifier, which TensorFlow does not find in a module by itself."""
        return self.classifier.variables

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Those that learn."""
        return self.classifier.trainable_variables

    def __call__(self, labels: tf.Tensor, classified: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """(B,) int32, (B, C) -> mean cross entropy, and the accuracy.

        With label smoothing e the target is 1 - e on the identity plus e / I on each of the I identities (Szegedy et
        al., Rethinking the Inception Architecture, section 7).
        """
        logits = self.classifier(classified, training=True) / self._temperature  # (B, I)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)  # (B,)
        if self._smoothing:
            to_all = tf.reduce_logsumexp(logits, axis=1) - tf.reduce_mean(logits, axis=1)
            entropy = (1.0 - self._smoothing) * entropy + self._smoothing * to_all
        right = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
        return tf.reduce_mean(entropy), {"classification_accuracy": tf.reduce_mean(tf.cast(right, tf.float32))}


class CenterLoss(tf.Module):
    """Half the squared distance to the centre of the identity, mean over the batch.

    Centres are no weights: they follow the embeddings (Wen et al., A Discriminative Feature Learning Approach for Deep
    Face Recognition, equations 2 to 4). On several replicas each has a copy, with equal content.
    """

    def __init__(self, params: Params, identities: int) -> None:
        super().__init__(name="center_loss")
        self._rate = params.center_loss_rate
        self._centers = tf.Variable(
            tf.zeros([identities, params.embedding_size]),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="centers",
        )

    def __call__(self, labels: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
        """(B,) int32, (B, D) -> scalar."""
        own = tf.gather(tf.convert_to_tensor(self._centers), labels)  # (B, D)
        return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(embeddings - own), axis=1))

    def move(self, labels: tf.Tensor, embeddings: tf.Tensor) -> None:
        """Moves the centres of the batch's identities: c += rate * sum(e - c) / (1 + n) over the n images of each."""
        centers = tf.convert_to_tensor(self._centers)
        differences = embeddings - tf.gather(centers, labels)  # (B, D)
        same = tf.cast(labels[:, None] == labels[None, :], tf.float32)
        steps = self._rate * differences / (1.0 + tf.reduce_sum(same, axis=1, keepdims=True))
        self._centers.assign(tf.tensor_scatter_nd_add(centers, labels[:, None], steps))
