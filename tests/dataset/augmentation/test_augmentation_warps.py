"""Affine warps against Pillow and SciPy."""

import math

import numpy as np
import pytest
import tensorflow as tf
from helpers.augmentation_images import (
    HEIGHT,
    NOISE,
    SMOOTH,
    WARPS,
    WIDTH,
    difference,
    for_every_seed,
    is_uniform,
    params,
)
from PIL import Image
from scipy import ndimage

from dataset.augmentation import _warping, affine, compose, rotate, scale, shear, translate


def oracle(down=0.0, right=0.0, degrees=0.0, shear_degrees=0.0, zoom=1.0):
    """The matrix of a shift, rotation, shear and zoom, one after the other, in float64."""
    angle, slope = math.radians(degrees), math.tan(math.radians(shear_degrees))
    shift = np.array([[1, 0, right], [0, 1, down], [0, 0, 1]])
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    return shift @ turn @ np.array([[1, slope, 0], [0, 1, 0], [0, 0, 1]]) @ np.diag([1 / zoom, 1 / zoom, 1])


def looked_at(matrix, shape):
    """(x, y) in pixels from the first one that each output pixel shows: (2, H, W)."""
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

    # SciPy counts (y, x) from the first pixel and repeats the borders as we do: the whole image is compared.
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
    """And independent; the matrix is made of them alone, in the order that is told."""
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
        module.matrix((HEIGHT, WIDTH), tf.random.fold_in(seed, position), p)
        for position, module in enumerate((rotate, scale, translate, shear))
    ]
    product = np.linalg.multi_dot([part.numpy().astype(float) for part in parts])
    fused = compose(names, p)(tf.constant(NOISE), seed).numpy()
    np.testing.assert_array_equal(fused, _warping.warp(tf.constant(NOISE), tf.constant(product, tf.float32)))
    # A plane keeps its levels however often it is interpolated: one after the other is the same but for the rounding.
    y, x = np.indices((HEIGHT, WIDTH))
    plane = tf.constant(np.stack([3 * x + 20, 4 * y + 10, x + 2 * y], axis=2).astype(np.uint8))
    one_by_one = plane
    for part in parts:
        one_by_one = _warping.warp(one_by_one, part)
    x, y = looked_at(product, (HEIGHT, WIDTH))
    interior = (x >= 8) & (x <= WIDTH - 9) & (y >= 8) & (y <= HEIGHT - 9)
    assert interior.sum() > 500
    assert difference(compose(names, p)(plane, seed), one_by_one)[interior].max() <= 2  # 4 roundings of a half


def test_warps_apart_keep_their_place_and_seed():
    p, seed = params(), tf.constant([3, 9])  # by which it is mirrored
    ours = compose(["rotate", "horizontal_flip", "scale"], p)(tf.constant(SMOOTH), seed).numpy()
    turned = _warping.warp(tf.constant(SMOOTH), rotate.matrix(SMOOTH.shape, tf.random.fold_in(seed, 0), p))
    scaled = _warping.warp(turned[:, ::-1], scale.matrix(SMOOTH.shape, tf.random.fold_in(seed, 2), p))
    np.testing.assert_array_equal(ours, scaled)


@pytest.mark.parametrize("names", [[name] for name in WARPS] + [WARPS])
def test_ranges_of_zero_change_no_bit(names):
    p = params(scale_range=0.0, translate_range=0.0, rotate_range=0.0, shear_range=0.0)
    np.testing.assert_array_equal(compose(names, p)(tf.constant(NOISE), tf.constant([3, 4])), NOISE)
