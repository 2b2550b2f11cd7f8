"""Crops against an oracle that samples every output pixel in float64, and their files."""

import itertools
import math
import os

import numpy as np
import pytest
from helpers.vid_tree import put_frame, thing
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from dataset.vid.crop_writer import FrameCrops, object_crops, write_all_crops, write_crops
from dataset.vid.siamfc_crops import CropSettings, cut
from runtime.errors import UserError

WIDTH, HEIGHT = 120, 90
BOXES = {
    "inside": (40, 30, 70, 60),
    "odd": (40.5, 31, 53, 66),
    "tiny": (60, 40, 62, 43),
    "left": (-6, 30, 20, 60),
    "right": (105, 30, 125, 55),
    "top": (50, -4, 80, 18),
    "bottom": (50, 75, 80, 89),
    "corner": (0, 0, 25, 30),
    "larger": (-20, -30, 140, 120),
    "whole": (0, 0, 119, 89),
    "flat": (10, 44, 110, 47),
    "far": (200, 200, 220, 215),
}


def oracle(picture: np.ndarray, box: tuple, context=0.01, exemplar=127, size=255) -> np.ndarray:
    """The SiamFC crop, (size, size, 3) float64: the area is that of the box with context, times (size / exemplar)^2."""
    w, h = box[2] - box[0], box[3] - box[1]
    s_z = math.sqrt((w + context * (w + h)) * (h + context * (w + h)))
    side = s_z * size / exemplar
    offsets = np.arange(size) * side / (size - 1) - side / 2
    y, x = np.meshgrid((box[1] + box[3]) / 2 + offsets, (box[0] + box[2]) / 2 + offsets, indexing="ij")
    channels = []
    for channel in range(3):
        # The outside is the rounded mean; a border of it makes the blending at the edge a plain interpolation.
        colour = np.rint(picture[..., channel].mean())
        padded = np.pad(picture[..., channel].astype(float), 300, constant_values=colour)
        channels.append(map_coordinates(padded, [y + 300, x + 300], order=1, mode="nearest"))
    return np.stack(channels, axis=-1)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (HEIGHT, WIDTH, 3))
    smooth = gaussian_filter(noise, (1, 1, 0))
    return np.clip((smooth - smooth.mean()) * 3 + 100, 0, 255).astype(np.uint8)


def near_border(side: str, beyond: float) -> tuple:
    """A box of 20 x 20; its window ends `beyond` pixels outside one side of the frame (negative: inside)."""
    half = 20 * 1.02 * 255 / 127 / 2
    cx = {"left": half - beyond, "right": WIDTH - 1 + beyond - half}.get(side, WIDTH / 2)
    cy = {"top": half - beyond, "bottom": HEIGHT - 1 + beyond - half}.get(side, HEIGHT / 2)
    return cx - 10, cy - 10, cx + 10, cy + 10


SIDES = itertools.product(("left", "top", "right", "bottom"), (-0.4, 0, 0.4, 2, 6))
BORDERS = {f"{side} {beyond}": near_border(side, beyond) for side, beyond in SIDES}


@pytest.mark.parametrize("sizes", [(), (0.1, 31, 63)], ids=["usual sizes", "others"])
@pytest.mark.parametrize("box", [*BOXES.values(), *BORDERS.values()], ids=[*BOXES, *BORDERS])
def test_cut_matches_the_oracle(picture, box, sizes):
    settings = CropSettings(*sizes)
    crop = np.asarray(cut(Image.fromarray(picture), settings.window(box), settings.search)).astype(float)
    assert crop.shape == (settings.search, settings.search, 3)
    difference = np.abs(crop - oracle(picture, box, *sizes))
    assert difference.mean() <= 1
    assert difference.max() <= 2  # rounding; no row or column of the border may be off


@pytest.fixture
def task(tmp_path) -> FrameCrops:
    objects = [thing(0, (40, 30, 70, 60)), thing(11, (-6, 30, 20, 60))]
    folder = "ILSVRC2015_VID_train_0001/ILSVRC2015_train_00007000"
    frame = put_frame(tmp_path, "train", folder, "000003", objects)
    return object_crops(tmp_path, tmp_path / "out", frame)


def test_an_image_is_decoded_once_or_not_at_all(task, monkeypatch):
    decoded, real_open = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path: decoded.append(path) or real_open(path))
    folder = task.out / "crops" / "b" / "ILSVRC2015_train_00007000"
    for written, existing, opened in ((2, 0, 1), (1, 1, 2), (0, 2, 2)):  # both, one that is gone, none
        counts = write_crops(task)
        assert (counts.written, counts.existing, len(decoded)) == (written, existing, opened)
        assert sorted(f.name for f in folder.iterdir()) == ["000003.00.crop.x.jpg", "000003.11.crop.x.jpg"]
        if not existing:
            (folder / "000003.11.crop.x.jpg").unlink()


def test_folder_that_cannot_be_written(task):
    task.out.write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        write_all_crops([task], 1, lambda done: None)


def test_a_named_pipe_is_no_frame(task):
    task.image.unlink()
    os.mkfifo(task.image)  # opening it would wait for a writer
    assert [problem.problem for problem in write_crops(task).problems] == [
        "cannot be read as an image: this is a named pipe"
    ]
