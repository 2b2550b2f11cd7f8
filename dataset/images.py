"""Image files to uint8 tensors: decode, turn upright, resize. TensorFlow graph code, for use inside tf.data."""

import tensorflow as tf


def decode(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes the bytes of a JPEG or PNG file of any colour type: () string -> (H, W, channels) uint8.

    CMYK becomes RGB, 16 bits become 8, an alpha channel is dropped. If `channels` is 1, colour becomes grey.

    Raises:
        tf.errors.InvalidArgumentError: for other data and for truncated files. It does not name the file.
    """

    def decoded(channels: int) -> tf.Tensor:
        # decode_jpeg detects the format and reads PNG too; INTEGER_ACCURATE equals libjpeg's default decoding.
        return tf.io.decode_jpeg(data, channels=channels, dct_method="INTEGER_ACCURATE")

    def grey_jpeg() -> tf.Tensor:
        is_cmyk = tf.equal(tf.io.extract_jpeg_shape(data)[2], 4)  # reads the header only
        return tf.cond(is_cmyk, lambda: tf.image.rgb_to_grayscale(decoded(3)), lambda: decoded(1))

    # libjpeg cannot convert CMYK to grey.
    image = tf.cond(tf.io.is_jpeg(data), grey_jpeg, lambda: decoded(1)) if channels == 1 else decoded(channels)
    image.set_shape([None, None, channels])
    return image


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """The image upright, given its EXIF orientation (1 .. 8): (H, W, C) -> (H, W, C) or (W, H, C)."""

    def transposed() -> tf.Tensor:
        return tf.transpose(image, [1, 0, 2])

    return tf.switch_case(
        tf.cast(orientation, tf.int32) - 1,
        [
            lambda: image,
            lambda: image[:, ::-1],
            lambda: image[::-1, ::-1],
            lambda: image[::-1],
            transposed,
            lambda: transposed()[:, ::-1],
            lambda: transposed()[::-1, ::-1],
            lambda: transposed()[::-1],
        ],
    )


def resize(image: tf.Tensor, shape: tuple[int, int], pad_to_square: bool = False) -> tf.Tensor:
    """The image resized, bilinear with antialiasing: (H, W, C) uint8 -> (*shape, C) uint8.

    With `pad_to_square` the image is not stretched: it is first centred on a black square as long as its longer side.
    """
    if pad_to_square:
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        side = tf.maximum(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        image = tf.pad(image, [[top, side - height - top], [left, side - width - left], [0, 0]])
    # Without antialiasing the op is faster, above all on floats. The result is equal if nothing shrinks.
    resized = tf.cond(
        tf.reduce_any(tf.shape(image)[:2] > shape),
        lambda: tf.image.resize(image, shape, method="bilinear", antialias=True),
        lambda: tf.raw_ops.ResizeBilinear(images=tf.cast(image[None], tf.float32), size=shape, half_pixel_centers=True)[
            0
        ],
    )
    return tf.cast(resized + 0.5, tf.uint8)  # means of levels: they stay between 0 and 255
