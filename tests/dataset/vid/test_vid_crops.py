"""Crops against an oracle that samples every output pixel in float64."""

import math
from pathlib import Path

import numpy as np
import pytest
from helpers.crop_oracle import BOXES, HEIGHT, WIDTH, oracle
from PIL import Image
from scipy.ndimage import gaussian_filter

from dataset.vid.annotations import Frame, VideoObject
from dataset.vid.crop_writer import PARTIAL, object_crops, write_all_crops, write_crops
from dataset.vid.siamfc_crops import crop_window, cut
from runtime.errors import UserError

FOLDER = "ILSVRC2015_VID_train_0001/ILSVRC2015_train_00007000"


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (HEIGHT, WIDTH, 3))
    smooth = gaussian_filter(noise, (1, 1, 0))
    return np.clip((smooth - smooth.mean()) * 3 + 100, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_cut_matches_the_oracle(picture, box):
    crop = np.asarray(cut(Image.fromarray(picture), crop_window(box))).astype(float)
    difference = np.abs(crop - oracle(picture, box))
    assert crop.shape == (255, 255, 3)
    assert difference.mean() <= 1
    assert difference.max() <= 2  # rounding; no row or column of the border may be off


@pytest.mark.parametrize("beyond", [-0.4, 0, 0.4, 2, 6])
@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_windows_that_end_near_the_border(picture, side, beyond):
    """A window just inside is cut from the frame itself, one just outside from a frame with the colour around it."""
    half = 20 * 1.02 * 255 / 127 / 2  # of the window of a box of 20 x 20
    near, far = half - beyond, {"right": WIDTH, "bottom": HEIGHT}.get(side, 0) - 1 + beyond - half
    cx, cy = WIDTH / 2, HEIGHT / 2
    cx = {"left": near, "right": far}.get(side, cx)
    cy = {"top": near, "bottom": far}.get(side, cy)
    box = (cx - 10, cy - 10, cx + 10, cy + 10)
    crop = np.asarray(cut(Image.fromarray(picture), crop_window(box))).astype(float)
    assert np.abs(crop - oracle(picture, box)).max() <= 2


def test_window_is_square_and_centred():
    x0, y0, x1, y1 = crop_window((10, 20, 50, 30))
    assert x1 - x0 == pytest.approx(y1 - y0) == pytest.approx(math.sqrt(40.5 * 10.5) * 255 / 127)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((30, 25))


def frame_of(root: Path, picture: np.ndarray, split: str = "train", folder: str = FOLDER) -> Frame:
    objects = [VideoObject(i, "n1", *BOXES[name], False, False) for i, name in ((0, "inside"), (11, "left"))]
    frame = Frame(split, folder, "000003", WIDTH, HEIGHT, tuple(objects))
    frame.image_file(root).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(frame.image_file(root), "JPEG", quality=95)
    return frame


def test_files(tmp_path, picture, monkeypatch):
    frame = frame_of(tmp_path, picture)
    task = object_crops(tmp_path, tmp_path / "out", frame)
    decoded = []
    real_open = Image.open
    monkeypatch.setattr(Image, "open", lambda path: decoded.append(path) or real_open(path))

    assert write_crops(task).written == 2
    assert len(decoded) == 1  # once for both objects
    folder = tmp_path / "out" / "crops" / "b" / "ILSVRC2015_train_00007000"
    assert sorted(f.name for f in folder.iterdir()) == ["000003.00.crop.x.jpg", "000003.11.crop.x.jpg"]
    with Image.open(folder / "000003.00.crop.x.jpg") as crop, Image.open(frame.image_file(tmp_path)) as image:
        assert (crop.size, crop.format) == ((255, 255), "JPEG")
        assert np.abs(np.asarray(crop).astype(float) - oracle(np.asarray(image), BOXES["inside"])).mean() < 3
        assert crop.quantization[0][0] == 3  # the luminance table's 16 at quality 90

    decoded.clear()
    (folder / "000003.11.crop.x.jpg").unlink()
    counts = write_crops(task)
    assert (counts.written, counts.existing) == (1, 1)
    counts = write_crops(task)
    assert (counts.written, counts.existing, len(decoded)) == (0, 2, 1)  # nothing missing, nothing decoded


@pytest.mark.parametrize("workers", [1, 2])
def test_many_images_and_a_broken_one(tmp_path, picture, workers):
    frames = [frame_of(tmp_path, picture, "val", f"s{i:02d}") for i in range(40)]
    frames[7].image_file(tmp_path).write_bytes(frames[7].image_file(tmp_path).read_bytes()[:500])
    frames[9].image_file(tmp_path).unlink()
    reports = []
    tasks = [object_crops(tmp_path, tmp_path / "out", frame) for frame in frames]
    counts = write_all_crops(iter(tasks), workers, reports.append)
    assert counts.written == 2 * 38
    problems = [(problem.file, problem.kind) for problem in counts.problems]
    assert problems == [(str(tasks[7].image), "unreadable JPEG"), (str(tasks[9].image), "no JPEG")]
    assert reports[-1] == 40
    assert not list((tmp_path / "out" / PARTIAL).iterdir())
    assert len(list((tmp_path / "out" / "crops").rglob("*"))) == 1 + 38 + 2 * 38  # e, snippets, crops


def test_folder_that_cannot_be_written(tmp_path, picture):
    frame = frame_of(tmp_path, picture)
    (tmp_path / "out").write_text("a file")
    task = object_crops(tmp_path, tmp_path / "out", frame)
    with pytest.raises(UserError, match="cannot write"):
        write_all_crops([task], workers=1)
