"""Crops of images to their boxes."""

import numpy as np
from PIL import Image

from dataset.sources.box_crops import crop_images


def test_a_crop_of_a_turned_photograph_is_upright(tmp_path):
    """A box is of the pixels as stored; a crop has no EXIF data, so it must be stored upright."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    crop_images(tmp_path, ["a.png"], {"a.png": (5, 2, 10, 6)}, tmp_path / "crops")
    crop = Image.open(tmp_path / "crops/a.png")
    assert 0x0112 not in crop.getexif()
    np.testing.assert_array_equal(np.asarray(crop), np.rot90(pixels[2:8, 5:15], -1))
