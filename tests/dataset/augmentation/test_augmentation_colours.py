"""Colours against Pillow and colorsys."""

import colorsys
import math

import numpy as np
import pytest
import tensorflow as tf
from helpers.augmentation_images import NOISE, SEEDS, SMOOTH, difference, for_every_seed, is_uniform, params
from PIL import Image, ImageEnhance

from dataset.augmentation import color_jitter, grayscale


@pytest.mark.parametrize("image", [SMOOTH, NOISE], ids=["smooth", "noise"])
@pytest.mark.parametrize("factor", [0.0, 0.25, 0.61, 1.0])
def test_grayscale_equals_pillow(image, factor):
    picture = Image.fromarray(image)
    theirs = Image.blend(picture, picture.convert("L").convert("RGB"), factor)
    ours = grayscale.blend_grey(tf.constant(image), factor)
    assert difference(ours, theirs).max() <= 1
    if factor in (0.0, 1.0):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [0.0, 0.5, 0.83, 1.0, 1.17, 2.0])
def test_brightness_contrast_and_saturation_equal_pillow(factor, channels):
    for image in (SMOOTH[..., :channels], NOISE[..., :channels], NOISE[..., :channels] // 4 + 150):
        picture = Image.fromarray(image.squeeze())
        kinds = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast}
        if channels == 3:
            kinds["saturation"] = ImageEnhance.Color
        for name, enhance in kinds.items():
            ours = color_jitter.jitter(tf.constant(image), **{name: factor})
            theirs = np.asarray(enhance(picture).enhance(factor)).reshape(image.shape)
            assert difference(ours, theirs).max() <= 1, name


def test_the_order_is_brightness_contrast_saturation_hue():
    for image in (SMOOTH, NOISE):
        for brightness, contrast, saturation in ((1.2, 0.8, 1.2), (0.83, 1.17, 0.8), (1.5, 1.5, 0.5)):
            picture = ImageEnhance.Brightness(Image.fromarray(image)).enhance(brightness)
            picture = ImageEnhance.Color(ImageEnhance.Contrast(picture).enhance(contrast)).enhance(saturation)
            ours = color_jitter.jitter(tf.constant(image), brightness, contrast, saturation)
            assert difference(ours, picture).max() <= 1
            with_hue = color_jitter.jitter(tf.constant(image), brightness, contrast, saturation, 0.1)
            assert difference(with_hue, hue_oracle(np.asarray(picture), 0.1)).max() <= 1


def hue_oracle(image, turn):
    def turned(pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255.0))
        return colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value)

    return np.round(np.apply_along_axis(turned, 2, image) * 255)


@pytest.mark.parametrize("turn", [-0.5, -0.05, 0.0, 0.013, 0.3, 0.5])
def test_hue_equals_colorsys(turn):
    for image in (SMOOTH, NOISE):
        ours = color_jitter.jitter(tf.constant(image), hue=turn)
        assert difference(ours, hue_oracle(image, turn)).max() <= (0 if turn == 0 else 1)


@pytest.mark.parametrize(
    ("position", "high", "pixels", "changed_by"),
    [
        (0, 0.4, [[120] * 3], lambda row: row[0, 0] / 120 - 1),
        (1, 0.5, [[80] * 3, [160] * 3], lambda row: (row[1, 0] - row[0, 0]) / 80 - 1),
        (2, 0.5, [[200, 100, 100]], lambda row: (row[0, 0] - row[0, 1]) / 100 - 1),
        (3, 0.1, [[200, 100, 100]], lambda row: (colorsys.rgb_to_hsv(*row[0] / 255)[0] + 0.5) % 1 - 0.5),
    ],
    ids=["brightness", "contrast", "saturation", "hue"],
)
def test_the_colour_factors_are_uniform_in_their_ranges(position, high, pixels, changed_by):
    p = params(color_jitter_ranges=[high if each == position else 0.0 for each in range(4)])
    images = for_every_seed(lambda s: color_jitter.augment(tf.constant([pixels], tf.uint8), s, p))
    changes = np.array([changed_by(image[0].astype(float)) for image in images])
    assert is_uniform(changes, -1.03 * high, 1.03 * high)  # with what rounding adds
    untouched = color_jitter.augment(tf.constant(NOISE), tf.constant([1, 2]), params(color_jitter_ranges=[0.0] * 4))
    np.testing.assert_array_equal(untouched, NOISE)


def test_the_part_of_grey_is_uniform_in_its_range():
    red = tf.constant(np.array([[[255, 0, 0]]], np.uint8))  # its grey is 76
    levels = for_every_seed(lambda s: grayscale.augment(red, s, params(grayscale_range=[0.2, 0.7])))
    part = (255.5 - levels[:, 0, 0, 0]) / (255 - 76)
    assert part.min() == pytest.approx(0.2, abs=0.01)
    assert part.max() == pytest.approx(0.7, abs=0.01)
    assert part.mean() == pytest.approx(0.455, abs=4 * 0.5 / math.sqrt(12 * len(SEEDS)))


def test_grey_images_have_no_colour_to_change():
    image, seed = tf.constant(NOISE[..., :1]), tf.constant([1, 2])
    p = params(image_channels=1, color_jitter_ranges=[0.0, 0.0, 0.2, 0.05])
    np.testing.assert_array_equal(color_jitter.augment(image, seed, p), NOISE[..., :1])
    np.testing.assert_array_equal(grayscale.augment(image, seed, p), NOISE[..., :1])
