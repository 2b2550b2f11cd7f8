"""Large batches in little memory: the backbone sees micro-batches, and the gradients are those of the whole batch.

Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, section 3.2. The paper keeps the
embeddings of a batch. Here it is the features of the backbone, so the head and its batch norm see the whole batch:

1. `forward`: the features of all micro-batches, without what a gradient needs.
2. Head and loss on the whole batch, and the gradient with respect to the features (`model/training/step`).
3. `backward`: micro-batch by micro-batch, the features again, now with the gradients of the weights, which add up.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from model.network.build import Network
from model.network.recomputation import changing_variables


class MicroBatches:
    """The backbone of a batch, micro-batch by micro-batch."""

    def __init__(self, network: Network, size: int) -> None:
        """Args:
        network: its trunk is preprocessing and backbone: (b, H, W, C) -> (b, h, w, F).
        size: b, the images of a micro-batch; it must divide the images of a batch on one device.
        """
        self._network, self._size = network, size
        self._changing = changing_variables(network.trunk.get_layer("backbone").layers)

    def forward(self, images: tf.Tensor, mean: Callable[[tf.Tensor], tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The features, and what `backward` needs to compute them again.

        Moving statistics of batch norm are updated once for each micro-batch.

        Args:
            images: (B, H, W, C) uint8.
            mean: over the devices.

        Returns:
            (B, h, w, F), and the state of the backbone before.
        """
        count, before = self._count(images), [tf.convert_to_tensor(variable.value) for variable in self._changing]
        output = self._network.trunk.output
        shape = output.shape[1:]

        def of_part(i: tf.Tensor, state: list[tf.Tensor], parts: tf.TensorArray) -> tuple[Any, ...]:
            features, state = self._features(self._part(images, i), state)
            return i + 1, state, parts.write(i, features)

        parts = tf.TensorArray(output.dtype, count, element_shape=(self._size, *shape))
        _, after, parts = self._loop(count, of_part, (before, parts))
        for variable, value in zip(self._changing, after, strict=True):
            variable.assign(mean(value) if value.dtype.is_floating else value)
        return tf.reshape(parts.stack(), (images.shape[0], *shape)), before

    def backward(
        self,
        images: tf.Tensor,
        before: list[tf.Tensor],
        slopes: tf.Tensor,
        variables: Sequence[keras.Variable],
    ) -> list[tf.Tensor]:
        """The gradients of the loss with respect to `variables` of the backbone.

        Args:
            images: (B, H, W, C) uint8.
            before: the state of the backbone before `forward`: dropout draws the same masks again.
            slopes: (B, h, w, F), the gradient of the loss with respect to the features.
            variables: of the backbone.
        """

        def of_part(i: tf.Tensor, state: list[tf.Tensor], sums: list[tf.Tensor]) -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                features, state = self._features(self._part(images, i), state)
            gradients = tape.gradient(
                features, variables, self._part(slopes, i), unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            return i + 1, state, [a + b for a, b in zip(sums, gradients, strict=True)]

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
        return self._loop(self._count(images), of_part, (before, zeros))[2]

    def _features(self, images: tf.Tensor, state: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The features of a micro-batch, and the state of the backbone after it. No variable changes."""
        with keras.StatelessScope(list(zip(self._changing, state, strict=True))) as scope:
            features = self._network.features(images)
        return features, [scope.get_current_value(variable) for variable in self._changing]

    def _count(self, images: tf.Tensor) -> int:
        return images.shape[0] // self._size

    def _part(self, rows: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(rows[i * self._size : (i + 1) * self._size], (self._size, *rows.shape[1:]))

    def _loop(self, count: int, body: Callable[..., tuple[Any, ...]], start: tuple[Any, ...]) -> tuple[Any, ...]:
        # One after the other: by default ten iterations, and their activations, may exist at a time.
        return tf.while_loop(
            lambda i, *_: i < count, body, (tf.constant(0), *start), parallel_iterations=1, maximum_iterations=count
        )
