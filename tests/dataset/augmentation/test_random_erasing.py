"""Random erasing against its definition: one rectangle is erased, of the right size, as often as it should be."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.augmentation_images import for_every_seed, is_uniform
from PIL import Image, ImageDraw

from dataset.augmentation import random_erasing
from model.configuration.loading import check_params

HEIGHT, WIDTH = 64, 32
# No pixel of it is of a colour that erasing may leave by chance: the mean's, and of noise only values above 99.
IMAGE = np.random.default_rng(0).integers(0, 100, (HEIGHT, WIDTH, 3), dtype=np.uint8)
SEEDS = np.stack([np.full(400, 7), np.arange(400)], axis=1).astype(np.int32)


def augment_all(image=IMAGE, seeds=SEEDS, **values):
    """The image once per seed: (N, H, W, C)."""
    params = check_params({"augmentation": ["random_erasing"], "erasing_fill": "mean"} | values, "x")
    return for_every_seed(lambda seed: random_erasing.augment(tf.constant(image), seed, params), seeds)


def rectangle(image, original=IMAGE):
    """(top, left, height, width) of what differs, which must be a full rectangle; None where nothing does."""
    differs = (image != original).all(axis=2)
    assert (differs == (image != original).any(axis=2)).all()  # all channels of a pixel, or none
    if not differs.any():
        return None
    rows, columns = (np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0))
    assert differs[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert differs.sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def possible_sides(area, aspect):
    """All (height, width) that areas and aspects in these ranges give, rounded to whole pixels."""
    areas, aspects = np.linspace(*area, 500)[:, None] * HEIGHT * WIDTH, np.linspace(*aspect, 500)
    sides = np.stack([np.sqrt(areas * aspects), np.sqrt(areas / aspects)], axis=-1)  # (500, 500, 2)
    return set(map(tuple, np.round(sides).astype(int).reshape(-1, 2)))


@pytest.mark.parametrize(
    ("area", "aspect"), [([0.02, 0.4], [0.3, 3.33]), ([0.1, 0.1], [1.0, 1.0]), ([0.05, 0.3], [2.0, 4.0])]
)
def test_area_and_aspect_are_within_their_ranges_and_every_place_is_taken(area, aspect):
    images = augment_all(erasing_probability=1.0, erasing_area=area, erasing_aspect=aspect)
    found = np.array([rectangle(image) for image in images])  # of every image
    assert set(map(tuple, found[:, 2:])) <= possible_sides(area, aspect)
    # All places are equally likely: uniform once the whole pixels are spread.
    spread = np.random.default_rng(0).random((len(found), 2))
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
    assert (augment_all(seeds=SEEDS[:20], **never) == IMAGE).all()
    image = np.zeros((8, 8, 3), np.uint8)
    tiny = augment_all(image, erasing_probability=1.0, erasing_area=[0.001, 0.001], erasing_aspect=[1.0, 1.0])
    assert {rectangle(each, image)[2:] for each in tiny} == {(1, 1)}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("corner", "size"),
    [((0, 0), (64, 32)), ((0, 5), (1, 1)), ((63, 31), (1, 1)), ((10, 0), (20, 32)), ((3, 7), (50, 9))],
)
def test_the_rectangle_is_that_of_pillow(corner, size, channels):
    """In the mean colour of ImageNet."""
    image = IMAGE[..., :channels]
    picture = Image.fromarray(image.squeeze())
    (top, left), (height, width) = corner, size
    mean = np.array([0.485, 0.456, 0.406]) * 255
    colour = tuple(map(round, mean)) if channels == 3 else round(mean @ [0.299, 0.587, 0.114])
    ImageDraw.Draw(picture).rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    ours = random_erasing.erase(tf.constant(image), tf.constant(corner), tf.constant(size), tf.constant([1, 2]), "mean")
    np.testing.assert_array_equal(ours, np.asarray(picture).reshape(image.shape))
