"""1x1 convolutions whose gradients are matrix products.

oneDNN's gradient by the kernel is slow for them, above all in bfloat16 and with a stride: on two cores with AMX, the
kernel gradients took about half of ResNet-50's step.
"""

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf


@contextlib.contextmanager
def gradients_by_products(model: keras.Model) -> Iterator[None]:
    """Inside, calls of `model` compute the gradients of 1x1 convolutions as matrix products, if this is faster here.

    Nothing changes on GPUs, where it was not measured. Outside, the graph has ordinary convolutions, which can be
    exported.
    """
    found = [] if tf.config.list_logical_devices("GPU") else [layer for layer in model.layers if _is_pointwise(layer)]
    for layer in found:
        layer.convolution_op = functools.partial(_convolution, layer.strides[0])
    try:
        yield
    finally:
        for layer in found:
            del layer.convolution_op


def _is_pointwise(layer: keras.Layer) -> bool:
    if type(layer) is not keras.layers.Conv2D:
        return False
    return layer.kernel_size == (1, 1) and layer.groups == 1 and layer.strides[0] == layer.strides[1]


def _convolution(stride: int, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """(B, H, W, C), (1, 1, C, F) -> (B, H / stride, W / stride, F)."""

    @tf.custom_gradient
    def convolve(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, ...]:
        y = tf.nn.conv2d(x, kernel, stride, "VALID")

        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # A pooling of single pixels selects every `stride`-th; it is faster than a slice.
            seen = x if stride == 1 else tf.nn.max_pool2d(x, 1, stride, "VALID")
            rows, columns = kernel.shape[2:]
            flat = tf.reshape(dy, (-1, columns))
            d_kernel = tf.matmul(tf.reshape(seen, (-1, rows)), flat, transpose_a=True)
            if stride == 1:
                dx = tf.reshape(tf.matmul(flat, tf.reshape(kernel, (rows, columns)), transpose_b=True), tf.shape(x))
            else:
                dx = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(x),
                    filter=kernel,
                    out_backprop=dy,
                    strides=[1, stride, stride, 1],
                    padding="VALID",
                )
            return dx, tf.reshape(d_kernel, kernel.shape)

        return y, gradient

    return convolve(inputs, tf.convert_to_tensor(kernel))
