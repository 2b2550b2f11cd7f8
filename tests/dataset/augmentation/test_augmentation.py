"""Flips, crops and pools of augmentations: their random draws and combinations."""

import math
from itertools import permutations

import numpy as np
import pytest
import tensorflow as tf
from helpers.augmentation_images import (
    EVERY,
    HEIGHT,
    NOISE,
    RANDOM,
    SEEDS,
    SMOOTH,
    WIDTH,
    difference,
    for_every_seed,
    is_uniform,
    params,
)
from PIL import Image, ImageDraw
from scipy import stats

from dataset.augmentation import (
    compose,
    for_training,
    horizontal_flip,
    random_crop,
    random_erasing,
    random_resized_crop,
    some_of,
)
from model.configuration.loading import check_params
from runtime.errors import UserError

# Flip and crop


def test_half_of_the_images_are_mirrored():
    image = tf.constant(NOISE[:2, :3])
    images = for_every_seed(lambda s: horizontal_flip.augment(image, s, params()))
    flipped = (images == NOISE[:2, :3][:, ::-1]).all(axis=(1, 2, 3))
    assert (flipped | (images == NOISE[:2, :3]).all(axis=(1, 2, 3))).all()
    assert flipped.mean() == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / len(SEEDS)))


def test_random_crop_takes_every_window():
    image = NOISE[: HEIGHT - 8, : WIDTH - 13]
    sizes = {"image_size": [HEIGHT - 10, WIDTH - 14], "pre_crop_size": list(image.shape[:2])}
    p = params(augmentation=["random_crop"], **sizes)
    crops = for_every_seed(lambda s: random_crop.augment(tf.constant(image), s, p), SEEDS[:60])
    windows = [image[y : y + HEIGHT - 10, x : x + WIDTH - 14] for y in range(3) for x in range(2)]
    found = [[(crop == window).all() for window in windows] for crop in crops]
    assert np.sum(found, axis=1).tolist() == [1] * 60
    assert np.any(found, axis=0).all()


@pytest.mark.parametrize(("size", "pre_crop"), [([96, 64], [108, 96]), ([20, 40], [30, 40])])
def test_random_crop_resizes_a_window_of_the_image_itself(size, pre_crop):
    """The window is the same fraction of the image as image_size of pre_crop_size. Pillow resizes it."""
    p = params(image_size=size, augmentation=["random_crop"], pre_crop_size=pre_crop)
    height, width = (round(side * a / b) for side, a, b in zip((HEIGHT, WIDTH), size, pre_crop, strict=True))
    places = [(y, x) for y in range(HEIGHT - height + 1) for x in range(WIDTH - width + 1)]
    picture = Image.fromarray(SMOOTH)
    windows = [picture.crop((x, y, x + width, y + height)) for y, x in places]
    windows = np.stack([window.resize(size[::-1], Image.Resampling.BILINEAR) for window in windows]).astype(int)
    found = set()
    for crop in for_every_seed(lambda s: random_crop.augment(tf.constant(SMOOTH), s, p), SEEDS[:200]):
        worst = np.abs(windows - crop).max(axis=(1, 2, 3))
        assert worst.min() <= 1
        found.add(places[worst.argmin()])
    for axis in (0, 1):
        assert {place[axis] for place in found} == {place[axis] for place in places}


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


@pytest.mark.parametrize(
    ("shape", "area"), [((300, 300), [0.1, 0.4]), ((500, 200), [0.1, 0.4]), ((400, 400), [0.5, 1.0])]
)
def test_boxes_are_drawn_as_described(shape, area):
    """Compared with a plain loop over sizes, with and without redrawn ones. All places are equally likely."""
    p = params(resized_crop_area=area, resized_crop_aspect=[0.5, 2.0])
    boxes = for_every_seed(lambda s: random_resized_crop.draw_box(tf.constant(shape), s, p))
    corners, sides = boxes[:, :2], boxes[:, 2:]
    expected = []
    while len(expected) < 4000:
        share, aspect = RANDOM.uniform(*area), 2.0 ** RANDOM.uniform(-1, 1)
        size = np.round(np.sqrt([share / aspect, share * aspect]) * shape)
        if (size <= shape).all():
            expected.append(size)
    expected = np.array(expected)
    pairs = [(sides[:, 0], expected[:, 0]), (sides[:, 1], expected[:, 1])]
    pairs += [(sides.prod(axis=1), expected.prod(axis=1)), (sides[:, 0] / sides[:, 1], expected[:, 0] / expected[:, 1])]
    for ours, theirs in pairs:
        assert stats.ks_2samp(ours, theirs).pvalue > 1e-3
    assert (corners >= 0).all()
    assert (corners + sides <= shape).all()
    # Every place from the first to the last: uniform once the whole pixels are spread.
    places = (corners + RANDOM.random(corners.shape)) / (np.array(shape) - sides + 1)
    assert is_uniform(places[:, 0], 0, 1)
    assert is_uniform(places[:, 1], 0, 1)


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [([3.0, 4.0], (40, 0, 40, 80)), ([0.2, 0.25], (0, 30, 120, 20)), ([0.5, 2.0], (0, 0, 120, 80))],
)
def test_what_never_fits_is_a_box_in_the_centre(aspect, expected):
    """The fallback of torchvision, with the nearest aspect of the range."""
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
    expected = 2 if name == "horizontal_flip" else 1 if name == "grayscale" and channels == 1 else 10
    assert len(np.unique(images.reshape(20, -1), axis=0)) == expected


# Some of several


def pool_of(count, augmentations=3):
    """A number for each seed; its digits are the applied augmentations, from 1, in their order."""
    digits = [lambda image, seed, n=n: image * 10 + n + 1 for n in range(augmentations)]
    applied = for_every_seed(lambda s: some_of(digits, count)(tf.constant(0), s))
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
    seeds = for_every_seed(lambda s: some_of([lambda _, own: own] * 2, [2, 2])(tf.constant([0, 0]), s))
    assert len(np.unique(seeds, axis=0)) == len(SEEDS)


def test_only_the_chosen_ones_are_computed():
    def broken(image, seed):
        with tf.control_dependencies([tf.debugging.Assert(False, ["computed"])]):
            return tf.identity(image)

    chosen = pool_of([1, 1], augmentations=2)
    augment = some_of([broken, lambda image, seed: image + 1], [1, 1])
    run = tf.function(lambda seed: augment(tf.constant(0), seed))
    assert run(tf.constant(SEEDS[chosen.index("2")])) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="computed"):
        run(tf.constant(SEEDS[chosen.index("1")]))


def test_the_pool_comes_after_the_list():
    p = params(augmentation=["horizontal_flip"], augmentation_pool=["rotate"], augmentation_pool_count=[1, 1])
    seed = tf.constant([5, 7])  # of the flip
    ours = for_training(p)(tf.constant(SMOOTH), seed).numpy()
    pool_seed = tf.random.split(tf.random.fold_in(seed, 1), 3)[0]
    mirrored = tf.constant(SMOOTH[:, ::-1])
    np.testing.assert_array_equal(ours, compose(["rotate"], p)(mirrored, pool_seed))
    nothing = p.model_copy(update={"augmentation_pool_count": [0, 0]})
    np.testing.assert_array_equal(for_training(nothing)(tf.constant(SMOOTH), seed), SMOOTH[:, ::-1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augmentation": ["random_crop", "random_resized_crop"]}, "drop one"),
        ({"augmentation": ["affine"], "pre_crop_size": 80}, "pre_crop_size has no effect"),
        ({"augmentation_pool": ["random_crop"], "augmentation_pool_count": [0, 1]}, "move it to augmentation"),
        ({"augmentation_pool": ["rotate"], "augmentation_pool_count": [0, 2]}, "has only 1"),
    ],
)
def test_invalid_combinations_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        check_params({"image_size": 64} | values, "x")


# Random erasing

# No pixel has the mean colour, which erasing paints.
DARK = NOISE // 3


def augment_all(image=DARK, seeds=SEEDS, **values):
    """The image once per seed: (N, H, W, C)."""
    p = params(**{"augmentation": ["random_erasing"], "erasing_fill": "mean"} | values)
    return for_every_seed(lambda seed: random_erasing.augment(tf.constant(image), seed, p), seeds)


def rectangle(image, original=DARK):
    """(top, left, height, width) of the changed pixels, which must be a full rectangle; None if there are none."""
    differs = (image != original).all(axis=2)
    assert (differs == (image != original).any(axis=2)).all()  # all channels of a pixel, or none
    if not differs.any():
        return None
    rows, columns = (np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0))
    assert differs[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert differs.sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def possible_sides(area, aspect):
    """All (height, width) possible for areas and aspects in these ranges, rounded to whole pixels."""
    areas, aspects = np.linspace(*area, 500)[:, None] * HEIGHT * WIDTH, np.linspace(*aspect, 500)
    sides = np.stack([np.sqrt(areas * aspects), np.sqrt(areas / aspects)], axis=-1)  # (500, 500, 2)
    return set(map(tuple, np.round(sides).astype(int).reshape(-1, 2)))


@pytest.mark.parametrize(
    ("area", "aspect"), [([0.02, 0.4], [0.3, 3.33]), ([0.1, 0.1], [1.0, 1.0]), ([0.05, 0.3], [1.0, 2.0])]
)
def test_area_and_aspect_are_within_their_ranges_and_every_place_is_taken(area, aspect):
    images = augment_all(erasing_probability=1.0, erasing_area=area, erasing_aspect=aspect)
    found = np.array([rectangle(image) for image in images])  # of every image
    assert set(map(tuple, found[:, 2:])) <= possible_sides(area, aspect)
    # All places are equally likely: uniform once the whole pixels are spread.
    spread = RANDOM.random((len(found), 2))
    places = (found[:, :2] + spread) / ([HEIGHT + 1, WIDTH + 1] - found[:, 2:])
    assert is_uniform(places[:, 0], 0, 1)
    assert is_uniform(places[:, 1], 0, 1)
    if area[0] < area[1]:  # the whole range is used, evenly where every size fits
        areas = found[:, 2:].prod(axis=1) / (HEIGHT * WIDTH)
        assert areas.min() < area[0] + 0.05 * (area[1] - area[0])
        assert areas.max() > area[1] - 0.1 * (area[1] - area[0])


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_probability(probability):
    erased = [rectangle(image) is not None for image in augment_all(erasing_probability=probability)]
    assert np.mean(erased) == pytest.approx(probability, abs=4 * np.sqrt(0.25 / len(erased)) * (0 < probability < 1))


def test_noise_is_of_every_value_and_untouched_pixels_stay():
    grey = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    settings = {"erasing_fill": "noise", "erasing_probability": 1.0}
    noisy = augment_all(grey, **settings)
    where = [rectangle(image, grey) for image in augment_all(grey, **settings | {"erasing_fill": "mean"})]
    inside = np.zeros(noisy.shape[:3], bool)
    for number, (top, left, height, width) in enumerate(where):
        inside[number, top : top + height, left : left + width] = True
    assert not noisy[~inside].any()
    values = np.bincount(noisy[inside].ravel(), minlength=256)
    assert values.min() > 0.9 * values.mean()
    assert values.max() < 1.1 * values.mean()
    first = [image[top, left : left + 2] for image, (top, left, *_) in zip(noisy, where, strict=True)]
    corners = np.array(first).reshape(len(SEEDS), 6)
    assert len(np.unique(corners, axis=0)) == len(SEEDS)  # other noise for every seed


def test_what_never_fits_leaves_the_image_and_a_rectangle_has_a_pixel_at_least():
    never = {"erasing_probability": 1.0, "erasing_area": [0.9, 1.0], "erasing_aspect": [100.0, 200.0]}
    assert (augment_all(seeds=SEEDS[:20], **never) == DARK).all()
    image = np.zeros((8, 8, 3), np.uint8)
    tiny = augment_all(image, erasing_probability=1.0, erasing_area=[0.001, 0.001], erasing_aspect=[1.0, 1.0])
    assert {rectangle(each, image)[2:] for each in tiny} == {(1, 1)}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("corner", "size"),
    [((0, 0), (48, 64)), ((0, 5), (1, 1)), ((47, 63), (1, 1)), ((10, 0), (20, 64)), ((3, 7), (40, 9))],
)
def test_the_rectangle_is_that_of_pillow(corner, size, channels):
    """The fill is the mean colour of ImageNet."""
    image = DARK[..., :channels]
    picture = Image.fromarray(image.squeeze())
    (top, left), (height, width) = corner, size
    mean = np.array([0.485, 0.456, 0.406]) * 255
    colour = tuple(map(round, mean)) if channels == 3 else round(mean @ [0.299, 0.587, 0.114])
    ImageDraw.Draw(picture).rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    ours = random_erasing.erase(tf.constant(image), tf.constant(corner), tf.constant(size), tf.constant([1, 2]), "mean")
    np.testing.assert_array_equal(ours, np.asarray(picture).reshape(image.shape))
