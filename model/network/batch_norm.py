"""Batch norm as one fused op, in the layers of a Keras model.

Keras computes the moments, and then normalises in several passes over the activations, in float32 even under mixed
precision. `FusedBatchNormV3` does it in one kernel, forward and backward, in the precision of the activations.
"""

import functools
from typing import Any

import keras
import tensorflow as tf


def fuse(model: keras.Model) -> None:
    """Lets every batch norm of `model` compute with the fused op.

    Weights, names and saved files stay those of `keras.layers.BatchNormalization`: only the method `call` of each
    layer is replaced. Results equal Keras's except for rounding. Statistics over several replicas, and vectors instead
    of feature maps, are left to Keras.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.axis in (-1, 3):
            layer.call = functools.partial(_call, layer)


def _call(
    layer: keras.layers.BatchNormalization, inputs: tf.Tensor, training: bool | None = None, mask: Any = None
) -> tf.Tensor:
    """(B, H, W, C) -> (B, H, W, C), as `keras.layers.BatchNormalization.call`."""
    learns = bool(training and layer.trainable)
    if len(inputs.shape) != 4 or (learns and layer.synchronized):
        return type(layer).call(layer, inputs, training=training, mask=mask)
    mean, variance = layer.moving_mean, layer.moving_variance
    outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma if layer.scale else tf.ones_like(mean),
        offset=layer.beta if layer.center else tf.zeros_like(mean),
        mean=[] if learns else mean,
        variance=[] if learns else variance,
        epsilon=layer.epsilon,
        is_training=learns,
    )
    if learns:
        rate = 1.0 - layer.momentum
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        mean.assign(mean * layer.momentum + batch_mean * rate)
        # The op returns the unbiased variance; Keras's moving average is of the biased one.
        variance.assign(variance * layer.momentum + batch_variance * (rate * (count - 1.0) / count))
    return outputs
