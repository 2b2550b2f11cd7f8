"""Batch norm as one fused op, or as part of the convolution before it, in the layers of a Keras model.

Keras computes the moments, and then normalises in several passes over the activations, in float32 even under mixed
precision. `FusedBatchNormV3` does it in one kernel, forward and backward, in the precision of the activations.
"""

import collections
import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
_IMAGES = 32  # of a small batch


def fuse(model: keras.Model) -> None:
    """Lets every batch norm of `model` compute with the fused op in training.

    Weights, names and saved files stay those of `keras.layers.BatchNormalization`: only the method `call` of each
    layer is replaced. Results equal Keras's except for rounding. Left to Keras are inference, which is exported and
    compared (see `folded`), statistics over several replicas, and vectors instead of feature maps.
    """
    for norm in _norms(model):
        norm.call = functools.partial(_in_training, norm)


def _norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch norm layers of feature maps (B, H, W, C)."""
    found = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [norm for norm in found if len(norm.input.shape) == 4 and norm.axis in (-1, 3)]


@contextlib.contextmanager
def folded(model: keras.Model) -> Iterator[None]:
    """Inside, calls of `model` in inference scale kernels of convolutions instead of their outputs, where this is less.

    A bias and an activation are all that is left of batch norm then, and oneDNN adds both within the convolution. By
    itself TensorFlow does not do so for depthwise convolutions, for those with a bias, or in bfloat16. Elsewhere, batch
    norm is one fused op.
    """
    makers = {id(layer.output): layer for layer in model.layers if isinstance(layer, _CONVOLUTIONS)}
    read = [*model.outputs, *(x for operation in model.operations for x in tf.nest.flatten(operation.input))]
    readers = collections.Counter(map(id, read))
    changed: list[tuple[keras.Layer, Any]] = []
    for norm in _norms(model):
        changed.append((norm, vars(norm).get("call")))
        norm.call = functools.partial(_in_inference, norm)
        convolution = makers.get(id(norm.input))
        if convolution and readers[id(norm.input)] == 1 and _is_foldable(convolution):
            changed.append((convolution, vars(convolution).get("call")))
            convolution.call = functools.partial(_scaled_convolution, convolution, norm)
            norm.call = functools.partial(_offset, convolution, norm)
    try:
        yield
    finally:
        for layer, before in changed:
            if before:
                layer.call = before
            else:
                del layer.call


def _is_foldable(convolution: keras.layers.Conv2D | keras.layers.DepthwiseConv2D) -> bool:
    """Whether there are fewer weights than outputs for a small batch."""
    if type(convolution) not in _CONVOLUTIONS or convolution.activation is not keras.activations.linear:
        return False
    _, height, width, channels = convolution.output.shape
    return math.prod(convolution.kernel.shape) < _IMAGES * height * width * channels


def _scale(norm: keras.layers.BatchNormalization) -> tf.Tensor:
    """(C,), by which batch norm multiplies in inference."""
    scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
    return scale * norm.gamma if norm.scale else scale


def _scaled_convolution(
    convolution: keras.layers.Conv2D | keras.layers.DepthwiseConv2D,
    norm: keras.layers.BatchNormalization,
    inputs: tf.Tensor,
) -> tf.Tensor:
    """(B, H, W, C) -> (B, h, w, F): its outputs without bias, times the scale of `norm`."""
    kernel, scale = tf.convert_to_tensor(convolution.kernel), _scale(norm)
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
        function, scale = keras.ops.depthwise_conv, tf.reshape(scale, kernel.shape[2:])
    else:
        function = keras.ops.conv
    kernel = tf.cast(tf.cast(kernel, tf.float32) * scale, kernel.dtype)
    strides, dilation = convolution.strides, convolution.dilation_rate
    return function(inputs, kernel, strides, convolution.padding, dilation_rate=dilation)


def _offset(
    convolution: keras.layers.Conv2D | keras.layers.DepthwiseConv2D,
    norm: keras.layers.BatchNormalization,
    inputs: tf.Tensor,
    training: bool | None = None,
    mask: Any = None,
) -> tf.Tensor:
    """(B, H, W, C) -> (B, H, W, C): what bias and batch norm add to outputs that are scaled already."""
    bias = tf.cast(tf.convert_to_tensor(convolution.bias), tf.float32) if convolution.use_bias else 0.0
    offset = (bias - norm.moving_mean) * _scale(norm)
    return tf.nn.bias_add(inputs, tf.cast(offset + norm.beta if norm.center else offset, inputs.dtype))


def _in_training(
    norm: keras.layers.BatchNormalization, inputs: tf.Tensor, training: bool | None = None, mask: Any = None
) -> tf.Tensor:
    """(B, H, W, C) -> (B, H, W, C), as `keras.layers.BatchNormalization.call`."""
    if not training or (norm.trainable and norm.synchronized):
        return type(norm).call(norm, inputs, training=training, mask=mask)
    return _fused(norm, inputs, learns=norm.trainable)


def _in_inference(
    norm: keras.layers.BatchNormalization, inputs: tf.Tensor, training: bool | None = None, mask: Any = None
) -> tf.Tensor:
    return _fused(norm, inputs, learns=False)


def _fused(norm: keras.layers.BatchNormalization, inputs: tf.Tensor, learns: bool) -> tf.Tensor:
    """(B, H, W, C) -> (B, H, W, C), with the statistics of the batch if the layer learns."""
    mean, variance = norm.moving_mean, norm.moving_variance
    outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=norm.gamma if norm.scale else tf.ones_like(mean),
        offset=norm.beta if norm.center else tf.zeros_like(mean),
        mean=[] if learns else mean,
        variance=[] if learns else variance,
        epsilon=norm.epsilon,
        is_training=learns,
    )
    if learns:
        rate = 1.0 - norm.momentum
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        mean.assign(mean * norm.momentum + batch_mean * rate)
        # The op returns the unbiased variance; Keras's moving average is of the biased one.
        variance.assign(variance * norm.momentum + batch_variance * (rate * (count - 1.0) / count))
    return outputs
