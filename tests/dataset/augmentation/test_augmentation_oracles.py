"""Affine warps against Pillow and SciPy, colours against Pillow and colorsys."""

import colorsys
import math

import numpy as np
import pytest
import tensorflow as tf
from helpers.augmentation_images import (
    HEIGHT,
    NOISE,
    SEEDS,
    SMOOTH,
    WARPS,
    WIDTH,
    difference,
    for_every_seed,
    is_uniform,
    params,
)
from PIL import Image, ImageEnhance
from scipy import ndimage

from dataset.augmentation import _warping, affine, color_jitter, compose, grayscale, rotate, scale, shear, translate


def oracle(down=0.0, right=0.0, degrees=0.0, shear_degrees=0.0, zoom=1.0):
    """The matrix of a shift, rotation, shear and zoom, one after the other, in float64."""
    angle, slope = math.radians(degrees), math.tan(math.radians(shear_degrees))
    shift = np.array([[1, 0, right], [0, 1, down], [0, 0, 1]])
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    return shift @ turn @ np.array([[1, slope, 0], [0, 1, 0], [0, 0, 1]]) @ np.diag([1 / zoom, 1 / zoom, 1])


def looked_at(matrix, shape):
    """(2, H, W): the input position (x, y), in pixels from the first one, that each output pixel shows."""
    center = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    y, x = np.indices(shape)
    return (
        np.einsum("ij,jyx->iyx", matrix[:2, :2], [x - center[0], y - center[1]])
        + (matrix[:2, 2] + center)[:, None, None]
    )


MATRICES = {
    "down": oracle(down=3.3),
    "right": oracle(right=-7.25),
    "turned": oracle(degrees=15),
    "turned back": oracle(degrees=-74),
    "sheared": oracle(shear_degrees=10),
    "sheared far": oracle(shear_degrees=-30),
    "larger": oracle(zoom=1.2),
    "smaller": oracle(zoom=0.8),
    "all": oracle(4.8, -6.4, 12, -9, 1.15),
    "all, smaller": oracle(-2.2, 5.1, -14, 7, 0.83),
}


@pytest.mark.parametrize("image", [SMOOTH, NOISE, NOISE[:, :40, :1]], ids=["smooth", "noise", "grey"])
@pytest.mark.parametrize("name", MATRICES)
def test_warp_equals_pillow_and_scipy(name, image):
    matrix, shape = MATRICES[name], image.shape[:2]
    ours = _warping.warp(tf.constant(image), tf.constant(matrix, tf.float32)).numpy()
    assert ours.shape == image.shape

    # SciPy counts (y, x) from the first pixel and repeats the borders as we do, so compare the whole image.
    center = np.array([(shape[0] - 1) / 2, (shape[1] - 1) / 2])
    linear = matrix[:2, :2][::-1, ::-1]
    offset = center - linear @ center + matrix[1::-1, 2]
    for channel in range(image.shape[2]):
        theirs = ndimage.affine_transform(image[..., channel].astype(float), linear, offset, order=1, mode="nearest")
        assert np.abs(ours[..., channel] - theirs).max() < 0.51

    # Pillow counts (x, y) from the corner of the first pixel and does not interpolate at the border.
    x, y = looked_at(matrix, shape)
    interior = (x >= 1) & (x <= shape[1] - 2) & (y >= 1) & (y <= shape[0] - 2)
    corner = np.array([shape[1] / 2, shape[0] / 2])
    shift = corner - matrix[:2, :2] @ corner + matrix[:2, 2]
    picture = Image.fromarray(image.squeeze())
    data = (*matrix[0, :2], shift[0], *matrix[1, :2], shift[1])
    theirs = picture.transform(picture.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    assert interior.mean() > 0.3
    assert difference(ours, np.asarray(theirs).reshape(image.shape))[interior].max() <= 1


def test_whole_shifts_and_doubled_size():
    down = _warping.warp(tf.constant(NOISE), _warping.shifted(5.0, 0.0)).numpy()
    np.testing.assert_array_equal(down[:-5], NOISE[5:])
    np.testing.assert_array_equal(down[-5:], np.repeat(NOISE[-1:], 5, axis=0))
    right = _warping.warp(tf.constant(NOISE), _warping.shifted(0.0, 9.0)).numpy()
    np.testing.assert_array_equal(right[:, :-9], NOISE[:, 9:])
    larger = _warping.warp(tf.constant(SMOOTH), _warping.zoomed(2.0)).numpy()
    box = (WIDTH / 4, HEIGHT / 4, WIDTH * 3 / 4, HEIGHT * 3 / 4)
    resized = Image.fromarray(SMOOTH).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)
    assert difference(larger, resized).max() <= 1


NUMBERS = {
    "zoom": (0.7, 1.3),
    "degrees": (-40, 40),
    "shear_degrees": (-25, 25),
    "right": (-0.2 * WIDTH, 0.2 * WIDTH),
    "down": (-0.2 * HEIGHT, 0.2 * HEIGHT),
}


@pytest.mark.parametrize(
    ("module", "drawn"),
    [
        (scale, ["zoom"]),
        (rotate, ["degrees"]),
        (shear, ["shear_degrees"]),
        (translate, ["right", "down"]),
        (affine, list(NUMBERS)),
    ],
)
def test_the_numbers_of_the_warps_are_uniform_in_their_ranges(module, drawn):
    """They are independent, and the matrix depends only on them, in the documented order."""
    p = params(scale_range=0.3, translate_range=0.2, rotate_range=40.0, shear_range=25.0)
    matrices = for_every_seed(lambda s: module.matrix((HEIGHT, WIDTH), s, p))
    linear = matrices[:, :2, :2]
    found = {
        "zoom": np.linalg.det(linear) ** -0.5,
        "degrees": np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0])),
        "right": matrices[:, 0, 2],
        "down": matrices[:, 1, 2],
    }
    upright = np.einsum("nji,njk->nik", np.stack([oracle(degrees=d)[:2, :2] for d in found["degrees"]]), linear)
    found["shear_degrees"] = np.degrees(np.arctan(upright[:, 0, 1] / upright[:, 1, 1]))
    for name in drawn:
        assert is_uniform(found[name], *NUMBERS[name]), name
    assert np.abs(np.corrcoef([found[name] for name in drawn]) - np.eye(len(drawn))).max() < 0.1
    for number in range(3):
        values = {name: found[name][number] for name in drawn}
        np.testing.assert_allclose(matrices[number], oracle(**values), atol=1e-4)


def test_affine_draws_zoom_angle_shear_and_shift_in_this_order():
    p, seed = params(scale_range=0.2, rotate_range=15.0, shear_range=10.0, translate_range=0.1), tf.constant([3, 7])
    zoom, angle, slope, down, right = tf.random.stateless_uniform([5], seed, -1.0, 1.0).numpy()
    drawn = oracle(0.1 * HEIGHT * down, 0.1 * WIDTH * right, 15 * angle, 10 * slope, 1 + 0.2 * zoom)
    np.testing.assert_allclose(affine.matrix((HEIGHT, WIDTH), seed, p), drawn, atol=1e-4)


def test_neighbouring_warps_are_one_interpolation():
    p, names, seed = params(rotate_range=40.0), ["rotate", "scale", "translate", "shear"], tf.constant([3, 9])
    parts = [
        module.matrix((HEIGHT, WIDTH), tf.add(seed, [0, position]), p)
        for position, module in enumerate((rotate, scale, translate, shear))
    ]
    product = np.linalg.multi_dot([part.numpy().astype(float) for part in parts])
    fused = compose(names, p)(tf.constant(NOISE), seed).numpy()
    np.testing.assert_array_equal(fused, _warping.warp(tf.constant(NOISE), tf.constant(product, tf.float32)))
    # Interpolation preserves a plane: consecutive warps give the same, except for rounding.
    y, x = np.indices((HEIGHT, WIDTH))
    plane = tf.constant(np.stack([3 * x + 20, 4 * y + 10, x + 2 * y], axis=2).astype(np.uint8))
    one_by_one = plane
    for part in parts:
        one_by_one = _warping.warp(one_by_one, part)
    x, y = looked_at(product, (HEIGHT, WIDTH))
    interior = (x >= 8) & (x <= WIDTH - 9) & (y >= 8) & (y <= HEIGHT - 9)
    assert interior.sum() > 500
    assert (
        difference(compose(names, p)(plane, seed), one_by_one)[interior].max() <= 2
    )  # 4 roundings, each by at most a half


def test_warps_apart_keep_their_place_and_seed():
    p, seed = params(), tf.constant([3, 9])  # of the flip
    ours = compose(["rotate", "horizontal_flip", "scale"], p)(tf.constant(SMOOTH), seed).numpy()
    turned = _warping.warp(tf.constant(SMOOTH), rotate.matrix(SMOOTH.shape, seed, p))
    scaled = _warping.warp(turned[:, ::-1], scale.matrix(SMOOTH.shape, tf.add(seed, [0, 2]), p))
    np.testing.assert_array_equal(ours, scaled)


@pytest.mark.parametrize("names", [[name] for name in WARPS] + [WARPS])
def test_ranges_of_zero_change_no_bit(names):
    p = params(scale_range=0.0, translate_range=0.0, rotate_range=0.0, shear_range=0.0)
    np.testing.assert_array_equal(compose(names, p)(tf.constant(NOISE), tf.constant([3, 4])), NOISE)


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
    assert is_uniform(changes, -1.03 * high, 1.03 * high)  # plus rounding
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
