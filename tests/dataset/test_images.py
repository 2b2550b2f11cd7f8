"""Decoding, turning and resizing, against Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from dataset.images import decode, resize, turn_upright

SMOOTH = np.kron(np.random.default_rng(0).integers(0, 256, (5, 7, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1"])
def test_png_of_every_colour_type_equals_pillow(mode, channels):
    image = Image.fromarray(SMOOTH).convert(mode)
    ours = decode(encoded(image, "PNG"), channels).numpy()
    theirs = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    theirs = theirs.reshape(*theirs.shape[:2], channels)
    assert np.abs(ours.astype(int) - theirs).max() <= (0 if channels == 3 or mode in ("L", "LA", "1") else 1)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_equals_pillow(mode):
    data = encoded(Image.fromarray(SMOOTH).convert(mode), "JPEG", quality=90)
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    different = np.abs(decode(data, 3).numpy().astype(int) - theirs)
    assert different.max() <= 1 if mode != "CMYK" else different.mean() < 12


@pytest.mark.parametrize("within_graph", [False, True])
def test_cmyk_jpeg_becomes_grey(within_graph):
    data = encoded(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=90)
    grey = (tf.function(decode) if within_graph else decode)(tf.constant(data), 1).numpy()
    theirs = np.asarray(Image.fromarray(decode(data, 3).numpy()).convert("L"))
    assert np.abs(grey[..., 0].astype(int) - theirs).max() <= 1


def test_16_bit_png_is_read_as_8_bit():
    wide = SMOOTH[..., 0].astype(np.uint16) * 256 + 17
    ours = decode(encoded(Image.fromarray(wide), "PNG"), 1).numpy()[..., 0]
    np.testing.assert_array_equal(ours, SMOOTH[..., 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_truncated_data_is_an_error(channels):
    data = encoded(Image.fromarray(SMOOTH), "JPEG")
    for size in (0, 2, 20, len(data) // 2):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(data[:size], channels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_equals_pillow(orientation):
    image = Image.fromarray(SMOOTH)
    exif = Image.Exif()
    exif[274] = orientation
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(image, "PNG", exif=exif))))
    ours = turn_upright(tf.constant(SMOOTH), tf.constant(orientation, tf.uint8))
    np.testing.assert_array_equal(ours.numpy(), np.asarray(upright))


@pytest.mark.parametrize("shape", [(13, 17), (40, 56), (80, 30), (64, 90)])
def test_resize_equals_pillow(shape):
    ours = resize(tf.constant(SMOOTH), shape).numpy().astype(int)
    theirs = np.asarray(Image.fromarray(SMOOTH).resize(shape[::-1], Image.Resampling.BILINEAR)).astype(int)
    assert ours.dtype == int
    assert np.abs(ours - theirs).max() <= 2
    assert np.abs(ours - theirs).mean() < 0.5


def test_pad_to_square():
    padded = resize(tf.constant(SMOOTH), (56, 56), pad_to_square=True).numpy()
    np.testing.assert_array_equal(padded[8:48], SMOOTH)
    assert not padded[:8].any()
    assert not padded[48:].any()
