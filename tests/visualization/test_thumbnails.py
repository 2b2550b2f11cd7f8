"""Thumbnails and Pillow images against what training reads from the same file."""

import numpy as np
import pytest
from PIL import Image

from dataset.images import decode, turn_upright
from dataset.loading.inspection import inspect_files
from model.embedding.pictures import pixels_of
from visualization.kit.thumbnails import open_small


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_pictures_show_what_the_network_sees(tmp_path, mode):
    """The colour behind transparent parts, and images upright however far away their orientation is."""
    exif = Image.Exif()
    exif[0x0112] = 6
    colours = np.random.default_rng(0).integers(0, 256, (20, 40, 3)).astype(np.uint8)
    options = {"transparency": 0, "exif": exif}
    image = Image.fromarray(colours).convert(mode)
    if mode != "P":
        image.putalpha(0)
        del options["transparency"]
    image.save(tmp_path / "a.png", **options)
    orientation = inspect_files([str(tmp_path / "a.png")]).orientations[0]
    seen = turn_upright(decode((tmp_path / "a.png").read_bytes(), 3), orientation).numpy()
    np.testing.assert_array_equal(np.asarray(open_small(tmp_path / "a.png", 64)), seen)
    np.testing.assert_array_equal(pixels_of(Image.open(tmp_path / "a.png"), 3), seen)
