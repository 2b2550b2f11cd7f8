"""Decoding, turning and resizing, against Pillow."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from dataset.augmentation import affine, compose, horizontal_flip, random_crop
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


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_equals_pillow(mode):
    data = encoded(Image.fromarray(SMOOTH).convert(mode), "JPEG", quality=90)
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(decode(data, 3).numpy().astype(int) - theirs).max() <= 1


def test_cmyk_jpeg_is_read_as_rgb():
    data = encoded(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95)
    ours = decode(data, 3).numpy().astype(int)
    assert ours.shape == SMOOTH.shape
    assert np.abs(ours - SMOOTH).mean() < 12


def test_16_bit_png_is_read_as_8_bit():
    wide = SMOOTH[..., 0].astype(np.uint16) * 256 + 17
    ours = decode(encoded(Image.fromarray(wide), "PNG"), 1).numpy()[..., 0]
    np.testing.assert_array_equal(ours, SMOOTH[..., 0])


def test_truncated_data_is_an_error():
    data = encoded(Image.fromarray(SMOOTH), "JPEG")
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(data[: len(data) // 2], 3)


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


def params(**values):
    ranges = {"scale_range": 0.0, "translate_range": 0.0, "rotate_range": 0.0, "shear_range": 0.0}
    return SimpleNamespace(image_shape=(30, 40), flip_probability=0.5, **(ranges | values))


def test_random_crop_takes_every_window():
    image = tf.constant(SMOOTH[:32, :41])
    wanted = {(y, x) for y in range(3) for x in range(2)}
    found = set()
    for seed in range(60):
        crop = random_crop.augment(image, tf.constant([seed, 0]), params()).numpy()
        assert crop.shape == (30, 40, 3)
        found |= {(y, x) for y, x in wanted if (crop == SMOOTH[y : y + 30, x : x + 40]).all()}
    assert found == wanted


def test_horizontal_flip_turns_half_of_the_images():
    results = [horizontal_flip.augment(tf.constant(SMOOTH), tf.constant([s, 0]), params()).numpy() for s in range(200)]
    flipped = sum((r == SMOOTH[:, ::-1]).all() for r in results)
    assert all((r == SMOOTH).all() or (r == SMOOTH[:, ::-1]).all() for r in results)
    assert 70 <= flipped <= 130


def test_affine_without_ranges_changes_nothing():
    np.testing.assert_array_equal(affine.augment(tf.constant(SMOOTH), tf.constant([3, 4]), params()), SMOOTH)


@pytest.mark.parametrize(
    "ranges",
    [
        {"rotate_range": 15.0},
        {"shear_range": 10.0},
        {"scale_range": 0.2},
        {"translate_range": 0.1},
        {"rotate_range": 15.0, "shear_range": 10.0, "scale_range": 0.2, "translate_range": 0.1},
    ],
)
def test_affine_equals_pillow(ranges):
    """The same warp by Pillow, from the same random numbers, on the pixels that do not see the border."""
    image = np.asarray(Image.fromarray(SMOOTH).resize((64, 48), Image.Resampling.BICUBIC))
    for number in range(4):
        seed = tf.constant([number, 7])
        ours = affine.augment(tf.constant(image), seed, params(**ranges)).numpy().astype(int)
        z, r, s, y, x = tf.random.stateless_uniform([5], seed, -1.0, 1.0).numpy()
        zoom, angle = 1 + z * ranges.get("scale_range", 0), np.radians(r * ranges.get("rotate_range", 0))
        shear = np.tan(np.radians(s * ranges.get("shear_range", 0)))
        down, right = y * ranges.get("translate_range", 0) * 48, x * ranges.get("translate_range", 0) * 64
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.array([[1, shear], [0, 1]]) / zoom
        centre = np.array([32.0, 24.0])  # Pillow measures from the corner of the first pixel
        shift = centre - matrix @ centre + [right, down]
        data = (*matrix[0], shift[0], *matrix[1], shift[1])
        theirs = Image.fromarray(image).transform((64, 48), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
        inside = Image.new("L", (64, 48), 255).transform((64, 48), Image.Transform.AFFINE, data)
        inside = np.asarray(inside.resize((64, 48))) > 0
        inside[[0, -1]] = inside[:, [0, -1]] = False
        theirs = np.asarray(theirs).astype(int)
        edge = theirs.sum(axis=-1) == 0  # Pillow fills with black what it cannot interpolate
        difference = np.abs(ours - theirs)[inside & ~edge]
        assert difference.size > 3000
        assert np.percentile(difference, 99) <= 2
        assert difference.mean() < 0.6


def test_augmentations_depend_on_the_seed_alone():
    names = ["affine", "random_crop", "horizontal_flip"]
    ranges = {"rotate_range": 15.0, "shear_range": 10.0, "scale_range": 0.2, "translate_range": 0.1}
    augment = compose(names, params(**ranges))
    image = tf.constant(SMOOTH)
    one, again = augment(image, tf.constant([1, 2])), augment(image, tf.constant([1, 2]))
    other = augment(image, tf.constant([1, 3]))
    np.testing.assert_array_equal(one, again)
    assert (one.numpy() != other.numpy()).any()
