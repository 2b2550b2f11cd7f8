"""Augmentations against Pillow, SciPy and colorsys, and what they draw at random."""

import colorsys
import math
from itertools import permutations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance
from scipy import ndimage, stats

from dataset.augmentation import (
    _pool,
    _warping,
    affine,
    color_jitter,
    compose,
    for_training,
    grayscale,
    horizontal_flip,
    random_resized_crop,
    rotate,
    scale,
    shear,
    translate,
)
from dataset.errors import UserError
from dataset.pipeline import training_batches
from dataset.training_set import load_training_set
from model.params import check_params

HEIGHT, WIDTH = 48, 64
RANDOM = np.random.default_rng(0)
# Smooth, with every level, and the worst case: what no camera takes.
SMOOTH = np.asarray(
    Image.fromarray(RANDOM.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT), Image.BICUBIC)
)
NOISE = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
SEEDS = np.stack([np.full(1000, 7), np.arange(1000)], axis=1).astype(np.int32)
WARPS = ["scale", "translate", "rotate", "shear", "affine"]
EVERY = [*WARPS, "grayscale", "color_jitter", "horizontal_flip", "random_resized_crop", "random_erasing"]


def params(**values):
    return check_params({"image_size": [HEIGHT, WIDTH], "augmentation": []} | values, "x")


def for_every_seed(function, seeds=SEEDS):
    """function(seed) of every seed, as an array."""
    kind = tf.function(function).get_concrete_function(tf.TensorSpec([2], tf.int32)).output_dtypes
    return tf.function(lambda all_: tf.map_fn(function, all_, fn_output_signature=kind))(tf.constant(seeds)).numpy()


def difference(ours, theirs):
    return np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int))


def is_uniform(values, low, high):
    assert values.min() >= low - 1e-5
    assert values.max() <= high + 1e-5
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


# Warps


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


@pytest.mark.parametrize("degrees", [-20, 7, 90])
def test_a_positive_angle_turns_counterclockwise_as_pillow_does(degrees):
    image = SMOOTH[:, :48]
    ours = _warping.warp(tf.constant(image), _warping.turned(math.radians(degrees)))
    theirs = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR))
    x, y = looked_at(oracle(degrees=degrees), image.shape[:2])
    interior = (x >= 1) & (x <= 46) & (y >= 1) & (y <= 46)
    assert difference(ours, theirs)[interior].max() <= 1


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
    sheared = _warping.warp(tf.constant(NOISE[:47]), _warping.sheared(math.atan(1.0))).numpy()
    for row in (3, 23, 40):  # the picture's rows below the centre, 23, are moved to the left
        moved = row - 23
        kept = slice(max(0, -moved), WIDTH - max(0, moved))
        np.testing.assert_array_equal(sheared[row, kept], NOISE[row, kept.start + moved : kept.stop + moved])


def test_the_numbers_of_the_warps_are_uniform_in_their_ranges():
    p = params(scale_range=0.3, translate_range=0.2, rotate_range=40.0, shear_range=25.0)
    shape = (HEIGHT, WIDTH)
    factor = 1 / for_every_seed(lambda s: scale.matrix(shape, s, p))[:, 0, 0]
    assert is_uniform(factor, 0.7, 1.3)
    turns = for_every_seed(lambda s: rotate.matrix(shape, s, p))
    assert is_uniform(np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0])), -40, 40)
    shears = for_every_seed(lambda s: shear.matrix(shape, s, p))
    assert is_uniform(np.degrees(np.arctan(shears[:, 0, 1])), -25, 25)
    shifts = for_every_seed(lambda s: translate.matrix(shape, s, p))[:, :2, 2]
    assert is_uniform(shifts[:, 0] / WIDTH, -0.2, 0.2)
    assert is_uniform(shifts[:, 1] / HEIGHT, -0.2, 0.2)
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.1

    both = for_every_seed(lambda s: affine.matrix(shape, s, p))
    linear = both[:, :2, :2]
    angle = np.arctan2(linear[:, 1, 0], linear[:, 0, 0])
    drawn = {
        "zoom": np.linalg.det(linear) ** -0.5,
        "degrees": np.degrees(angle),
        "right": both[:, 0, 2],
        "down": both[:, 1, 2],
    }
    upright = np.einsum("nji,njk->nik", np.stack([oracle(degrees=d)[:2, :2] for d in drawn["degrees"]]), linear)
    drawn["shear_degrees"] = np.degrees(np.arctan(upright[:, 0, 1] / upright[:, 1, 1]))
    assert is_uniform(drawn["zoom"], 0.7, 1.3)
    assert is_uniform(drawn["degrees"], -40, 40)
    assert is_uniform(drawn["shear_degrees"], -25, 25)
    assert is_uniform(drawn["right"] / WIDTH, -0.2, 0.2)
    assert is_uniform(drawn["down"] / HEIGHT, -0.2, 0.2)
    for number in range(3):  # the parts of it are put together in the order that is told
        values = {name: each[number] for name, each in drawn.items()}
        np.testing.assert_allclose(both[number], oracle(**values), atol=1e-4)


def test_neighbouring_warps_are_one_interpolation():
    p, names, seed = params(rotate_range=40.0), ["rotate", "scale", "translate", "shear"], tf.constant([3, 9])
    seeds = [tf.random.fold_in(seed, position) for position in range(4)]
    parts = [
        module.matrix((HEIGHT, WIDTH), s, p) for module, s in zip((rotate, scale, translate, shear), seeds, strict=True)
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
    p, seed = params(flip_probability=1.0), tf.constant([3, 9])
    ours = compose(["rotate", "horizontal_flip", "scale"], p)(tf.constant(SMOOTH), seed).numpy()
    turned = rotate.augment(tf.constant(SMOOTH), tf.random.fold_in(seed, 0), p)
    np.testing.assert_array_equal(ours, scale.augment(turned[:, ::-1], tf.random.fold_in(seed, 2), p))


@pytest.mark.parametrize("names", [[name] for name in WARPS] + [WARPS])
def test_ranges_of_zero_change_no_bit(names):
    p = params(scale_range=0.0, translate_range=0.0, rotate_range=0.0, shear_range=0.0)
    np.testing.assert_array_equal(compose(names, p)(tf.constant(NOISE), tf.constant([3, 4])), NOISE)


# Colours


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


def test_hue_is_that_of_pillow_as_far_as_pillow_has_hues():
    """Pillow's HSV cuts hue and saturation off to 255ths: up to 6 levels and 1 level, and 1 of the rounding."""
    hsv = np.asarray(Image.fromarray(SMOOTH).convert("HSV")).astype(int)
    hsv[..., 0] = (hsv[..., 0] + 32) % 255
    theirs = Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB")
    apart = difference(color_jitter.jitter(tf.constant(SMOOTH), hue=32 / 255), theirs)
    assert apart.max() <= 8
    assert apart.mean() < 1.5


def test_the_colour_factors_are_uniform_in_their_ranges():
    none = {"brightness_range": 0.0, "contrast_range": 0.0, "saturation_range": 0.0, "hue_range": 0.0}
    flat = tf.constant(np.full((1, 1, 3), 120, np.uint8))
    levels = for_every_seed(lambda s: color_jitter.augment(flat, s, params(**none | {"brightness_range": 0.4})))
    assert levels.min() in range(72, 75)
    assert levels.max() in range(165, 169)
    assert levels.mean() == pytest.approx(119.5, abs=4 * 96 / math.sqrt(12 * len(SEEDS)))
    halves = tf.constant(np.array([[[80] * 3, [160] * 3]], np.uint8))
    levels = for_every_seed(lambda s: color_jitter.augment(halves, s, params(**none | {"contrast_range": 0.5})))
    spread = levels[:, 0, 1, 0].astype(int) - levels[:, 0, 0, 0]
    assert 40 <= spread.min() <= 42
    assert 118 <= spread.max() <= 121
    red = tf.constant(np.array([[[200, 100, 100]]], np.uint8))
    levels = for_every_seed(lambda s: color_jitter.augment(red, s, params(**none | {"saturation_range": 0.5})))
    spread = levels[:, 0, 0, 0].astype(int) - levels[:, 0, 0, 1]
    assert 49 <= spread.min() <= 52
    assert 148 <= spread.max() <= 151
    levels = for_every_seed(lambda s: color_jitter.augment(red, s, params(**none | {"hue_range": 0.1})))
    hues = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in levels[:, 0, 0] / 255.0])
    assert is_uniform((hues + 0.5) % 1 - 0.5 + RANDOM.uniform(-1, 1, len(hues)) / 1200, -0.102, 0.102)
    untouched = color_jitter.augment(tf.constant(NOISE), tf.constant([1, 2]), params(**none))
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
    p = params(image_channels=1, brightness_range=0.0, contrast_range=0.0)
    np.testing.assert_array_equal(color_jitter.augment(image, seed, p), NOISE[..., :1])
    np.testing.assert_array_equal(grayscale.augment(image, seed, p), NOISE[..., :1])


# Flip and crop


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_flip_probability_is_exact_at_its_ends(probability):
    image, p = tf.constant(NOISE[:2, :3]), params(flip_probability=probability)
    images = for_every_seed(lambda s: horizontal_flip.augment(image, s, p))
    flipped = (images == NOISE[:2, :3][:, ::-1]).all(axis=(1, 2, 3))
    assert (flipped | (images == NOISE[:2, :3]).all(axis=(1, 2, 3))).all()
    tolerance = 4 * math.sqrt(0.25 / len(SEEDS)) * (0 < probability < 1)
    assert flipped.mean() == pytest.approx(probability, abs=tolerance)


@pytest.mark.parametrize("shape", [(48, 64), (30, 40), (70, 50), (128, 128)])
@pytest.mark.parametrize("box", [(0, 0, 48, 64), (5, 7, 20, 30), (10, 3, 38, 50), (47, 63, 1, 1)])
def test_crop_and_resize_equals_pillow(box, shape):
    top, left, height, width = box
    for image in (SMOOTH, NOISE[..., :1]):
        picture = Image.fromarray(image.squeeze()).crop((left, top, left + width, top + height))
        theirs = np.asarray(picture.resize(shape[::-1], Image.Resampling.BILINEAR)).reshape(*shape, -1)
        ours = random_resized_crop.crop_and_resize(tf.constant(image), tf.constant(box), shape)
        assert ours.shape == theirs.shape
        assert difference(ours, theirs).max() <= 1


@pytest.mark.parametrize("shape", [(300, 300), (500, 200)])
def test_boxes_are_drawn_as_described(shape):
    """All of these sizes fit, so that their area and the logarithm of their aspect stay uniform."""
    p = params(resized_crop_area=[0.1, 0.4], resized_crop_aspect=[0.5, 2.0])
    boxes = for_every_seed(lambda s: random_resized_crop.draw_box(tf.constant(shape), s, p))
    corners, sides = boxes[:, :2], boxes[:, 2:]
    assert (corners >= 0).all()
    assert (corners + sides <= shape).all()
    shares = sides / shape
    assert is_uniform(np.clip(shares.prod(axis=1), 0.1, 0.4), 0.1, 0.4)
    aspects = np.log2(shares[:, 1] / shares[:, 0])
    assert is_uniform(np.clip(aspects, -1, 1), -1, 1)
    # Every place from the first to the last: uniform once the whole pixels are spread.
    places = (corners + RANDOM.random(corners.shape)) / (np.array(shape) - sides + 1)
    assert is_uniform(places[:, 0], 0, 1)
    assert is_uniform(places[:, 1], 0, 1)


def test_boxes_that_do_not_fit_are_drawn_again():
    """Against a plain loop over sizes: what is left has the same areas and aspects."""
    p = params(resized_crop_area=[0.5, 1.0], resized_crop_aspect=[0.5, 2.0])
    boxes = for_every_seed(lambda s: random_resized_crop.draw_box(tf.constant([400, 400]), s, p))
    expected = []
    while len(expected) < 4000:
        area, aspect = RANDOM.uniform(0.5, 1.0), 2.0 ** RANDOM.uniform(-1, 1)
        height, width = round(400 * math.sqrt(area / aspect)), round(400 * math.sqrt(area * aspect))
        if height <= 400 and width <= 400:
            expected.append((height, width))
    for ours, theirs in zip(boxes[:, 2:].T, np.array(expected).T, strict=True):
        assert stats.ks_2samp(ours, theirs).pvalue > 1e-3


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [([3.0, 4.0], (40, 0, 40, 80)), ([0.2, 0.25], (0, 30, 120, 20)), ([0.5, 2.0], (0, 0, 120, 80))],
)
def test_what_never_fits_is_a_box_in_the_centre(aspect, expected):
    """torchvision's way out, for the nearest aspect of the range."""
    p = params(resized_crop_area=[1.0, 1.0], resized_crop_aspect=aspect)
    boxes = for_every_seed(lambda s: random_resized_crop.draw_box(tf.constant([120, 80]), s, p), SEEDS[:10])
    found = {tuple(box) for box in boxes.tolist()}
    if aspect == [0.5, 2.0]:  # hardly any fits: only those whose aspect is about 1
        assert expected in found
    else:
        assert found == {expected}


def test_the_whole_image_is_a_box_too():
    p = params(resized_crop_area=[1.0, 1.0], resized_crop_aspect=[1.0, 1.0])
    np.testing.assert_array_equal(random_resized_crop.augment(tf.constant(NOISE), tf.constant([1, 1]), p), NOISE)


# All of them


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_seed_decides_and_the_shape_stays(name, channels):
    image = tf.constant(NOISE[..., :channels])
    p = params(image_channels=channels, erasing_probability=1.0)
    images = for_every_seed(compose([name], p).__get__(image), np.repeat(SEEDS[:10], 2, axis=0))
    assert images.shape == (20, HEIGHT, WIDTH, channels)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[::2], images[1::2])
    different = len(np.unique(images.reshape(20, -1), axis=0))
    if name == "horizontal_flip":
        assert different == 2
    else:
        assert different == (1 if name == "grayscale" and channels == 1 else 10)


# Some of several


def pool_of(count, augmentations=3):
    """What each seed applies: a number whose digits, from 1, are the augmentations in their order."""
    digits = [lambda image, seed, n=n: image * 10 + n + 1 for n in range(augmentations)]
    applied = for_every_seed(lambda s: _pool.some_of(digits, count)(tf.constant(0), s))
    return [str(number) if number else "" for number in applied]


@pytest.mark.parametrize(
    ("count", "sizes"), [([0, 2], (0, 1, 2)), ([1, 1], (1,)), ([3, 3], (3,)), ([0, 3], (0, 1, 2, 3))]
)
def test_every_choice_and_order_is_equally_likely(count, sizes):
    applied = pool_of(count)
    for size in sizes:
        choices = ["".join(order) for order in permutations("123", size)]
        found = [applied.count(choice) for choice in choices]
        assert sum(found) == sum(len(each) == size for each in applied)
        expected = len(SEEDS) / len(sizes) / len(choices)
        assert np.abs(np.array(found) - expected).max() < 4.5 * math.sqrt(expected)
    assert all(len(each) in sizes for each in applied)


def test_each_of_a_pool_has_its_own_seed():
    seeds = for_every_seed(lambda s: _pool.some_of([lambda _, own: own] * 2, [2, 2])(tf.constant([0, 0]), s))
    assert len(np.unique(seeds, axis=0)) == len(SEEDS)


def test_only_the_chosen_ones_are_computed():
    def broken(image, seed):
        with tf.control_dependencies([tf.debugging.Assert(False, ["computed"])]):
            return tf.identity(image)

    def fine(image, seed):
        return image + 1

    augment = _pool.some_of([broken, fine], [1, 1])
    run = tf.function(lambda seed: augment(tf.constant(0), seed))
    results = []
    for seed in SEEDS[:20]:
        try:
            results.append(int(run(tf.constant(seed))))
        except tf.errors.InvalidArgumentError:
            results.append(None)
    assert 4 < results.count(1) < 16
    assert results.count(None) == 20 - results.count(1)


def test_the_pool_comes_after_the_list():
    p = params(
        augmentation=["horizontal_flip"],
        flip_probability=1.0,
        augmentation_pool=["rotate"],
        augmentation_pool_count=[1, 1],
    )
    seed = tf.constant([5, 6])
    ours = for_training(p)(tf.constant(SMOOTH), seed).numpy()
    pool_seed = tf.random.split(tf.random.fold_in(seed, 1), 3)[0]
    mirrored = tf.constant(SMOOTH[:, ::-1])
    np.testing.assert_array_equal(ours, compose(["rotate"], p)(mirrored, pool_seed))
    nothing = p.model_copy(update={"augmentation_pool_count": [0, 0]})
    np.testing.assert_array_equal(for_training(nothing)(tf.constant(SMOOTH), seed), SMOOTH[:, ::-1])


# In the pipeline

ALL = {
    "augmentation": ["random_resized_crop", "rotate", "scale", "grayscale", "color_jitter", "horizontal_flip"],
    "augmentation_pool": ["translate", "shear", "affine", "random_erasing"],
}


def batches(dataset, start, stop, **values):
    values = {"dataset": str(dataset), "image_size": 16, "batch_p": 4, "batch_k": 2} | values
    p = check_params(values, "x")
    data = load_training_set(p)
    files = data.images.manifest.files()
    read = training_batches(files, data.images.orientations, data.sampler, p, start, stop).as_numpy_iterator()
    return [(images, [files[i] for i in indices]) for images, _, indices in read]


@pytest.mark.parametrize(
    ("shape", "values"), [((16, 16, 3), {}), ((20, 12, 1), {"image_size": [20, 12], "image_channels": 1})]
)
def test_resumed_batches_are_those_of_one_run(dataset, shape, values):
    whole, later = batches(dataset, 0, 3, **ALL, **values), batches(dataset, 2, 3, **ALL, **values)
    np.testing.assert_array_equal(whole[2][0], later[0][0])
    assert whole[0][0].shape == (8, *shape)


def test_resized_crops_are_cut_out_of_pre_crop_size(dataset):
    """Windows of 2/3 of a side, 16 of 24 pixels, need no resizing: they show the file's own pixels."""
    share = 4 / 9
    values = {"resized_crop_area": [share, share], "resized_crop_aspect": [1.0, 1.0], "pre_crop_size": 24}
    ((images, files),) = batches(dataset, 0, 1, augmentation=["random_resized_crop"], **values)
    found = set()
    for image, file in zip(images, files, strict=True):
        with Image.open(file) as picture:
            whole = np.asarray(picture).astype(int)
        windows = np.lib.stride_tricks.sliding_window_view(whole, (16, 16, 3))[:, :, 0]
        worst = np.abs(windows - image).max(axis=(2, 3, 4))
        assert worst.min() <= 1  # of the JPEG decoders
        found.add(int(worst.argmin()))
    assert len(found) > 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augmentation": ["random_crop", "random_resized_crop"]}, "drop one"),
        ({"augmentation": ["affine"], "pre_crop_size": 80}, "pre_crop_size has no effect"),
        ({"augmentation_pool": ["random_crop"], "augmentation_pool_count": [0, 1]}, "put it in augmentation"),
        ({"augmentation_pool": ["rotate"], "augmentation_pool_count": [0, 2]}, "has only 1"),
    ],
)
def test_what_does_not_go_together_is_told(values, message):
    with pytest.raises(UserError, match=message):
        check_params({"image_size": 64} | values, "x")
