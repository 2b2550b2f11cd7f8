"""An exponential moving average of the network's weights (`ema_decay`), which is evaluated and exported in their place.

Early in a training it follows the weights closely, later it averages over about 1 / (1 - ema_decay) steps. The moving
statistics of batch norm are averaged as well: they belong to the weights that they were measured with.
"""

import keras
import tensorflow as tf

from model.network.build import Network


class WeightAverage:
    """The average of a network's weights, in a network of its own.

    After step t = 0, 1, ... the average is d * average + (1 - d) * weight, with d = min(decay, (1 + t) / (10 + t)), as
    in `tf.train.ExponentialMovingAverage`.

    Attributes:
        network: with the averaged weights.
    """

    def __init__(self, network: Network, learning: keras.Model, decay: float) -> None:
        """Args:
        network: built like the one that learns; its weights are overwritten.
        learning: the embedder that learns.
        decay: of 0 .. 1.
        """
        self.network, self._learning, self._decay = network, learning, decay

    @property
    def variables(self) -> list[keras.Variable]:
        """The averages."""
        return self.network.embedder.weights

    def begin(self) -> None:
        """Sets the average to the present weights."""
        self.network.embedder.set_weights(self._learning.get_weights())

    def update(self, step: tf.Tensor) -> None:
        """Takes in the weights after step 0, 1, ...; called on each replica, which updates its copy."""
        t = tf.cast(step, tf.float32)
        share = 1.0 - tf.minimum(self._decay, (1.0 + t) / (10.0 + t))
        for average, weight in zip(self.variables, self._learning.weights, strict=True):
            difference = average.value - weight.value
            # An assignment to the replica's copy only, without a reduction over the replicas.
            tf.raw_ops.ResourceApplyGradientDescent(var=average.value.handle, alpha=share, delta=difference)
