"""What the crops of ImageNet VID show, through the command and its files."""

from pathlib import Path

import numpy as np
import pytest
from helpers.crop_oracle import HEIGHT, WIDTH, oracle
from helpers.preparing import crop, curate
from helpers.vid_tree import Object, annotation, make_root, picture, put_frame, read_episodes, read_root
from PIL import Image
from scipy.ndimage import gaussian_filter

from dataset.vid.annotations import parse_frame
from dataset.vid.random_boxes import random_boxes

FOLDER = "ILSVRC2015_VID_train_0003/ILSVRC2015_train_01000001"


def pixels_of(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(float)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """Fine detail in brightness and none in colour, which JPEG would lose; the mean is not grey."""
    noise = gaussian_filter(np.random.default_rng(0).uniform(-1, 1, (HEIGHT, WIDTH)), 1)
    brightness = noise / noise.std() * 30
    return np.clip(brightness[..., None] + (150, 110, 90), 0, 255).astype(np.uint8)


def test_other_sizes_and_context(tmp_path, scene):
    """The same formula with other numbers, by enlarging the box such that the oracle's own numbers fit."""
    root, out = tmp_path / "root", tmp_path / "out"
    x, y, side, context = 60, 40, 20, 0.25
    put_frame(root, "train", FOLDER, "000042", [Object(0, (x - 10, y - 10, x + 10, y + 10))], scene)
    crop(root, out, "--context", context, "--exemplar_size=51", "--quality=100")
    window = side * (1 + 2 * context) * 255 / 51
    half = window * 127 / 255 / 1.02 / 2  # the oracle's context is 0.01
    expected = oracle(pixels_of(picture(root, "train", FOLDER, "000042")), (x - half, y - half, x + half, y + half))
    seen = pixels_of(out / "crops" / "d" / "ILSVRC2015_train_01000001" / "000042.00.crop.x.jpg")
    assert np.abs(seen - expected).mean() <= 1


def iou(one: tuple, other: tuple) -> float:
    width = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def test_random_crops_keep_their_distance(tmp_path):
    """The boxes are those that the project gives; that the files show them, and no others, is seen in their pixels."""
    limit, root, out = 0.2, make_root(tmp_path / "root"), tmp_path / "out"
    frames = read_root(root)
    crop(root, out, "--split=val", "--quality=100")
    curate(out, "--episodes=10", "--max_iou", limit, "--random_crops=3")
    for _, positive, negatives in read_episodes(out / "episodes" / "easy_val_eval.csv"):
        snippet, file = positive.split("/")[2:]
        truth, trackid = frames[snippet, file.split(".")[0]], int(file.split(".")[1])
        pixels = pixels_of(picture(root, "val", truth.folder, truth.name))
        frame, _ = parse_frame(annotation(root, "val", truth.folder, truth.name), "val", truth.folder)
        for path, box in zip(negatives, random_boxes(frame, trackid, 3, limit), strict=True):
            assert iou(box, truth.objects[trackid].box) < limit
            assert np.abs(pixels_of(out / path) - oracle(pixels, box)).mean() <= 2
