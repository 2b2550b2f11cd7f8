"""Numbered boxes on frames, and the animations made of them."""

import sys
import weakref

import av
import numpy as np
import pytest
from PIL import Image

from runtime.errors import UserError
from visualization.tracks.animation import check_format, check_length, frames_a_second, write_animation
from visualization.tracks.boxes import CAPTION, Mark, State, colour_of, draw_frame, fit_size, ink_on


def test_labels_stay_in_the_frame_wherever_the_box_is():
    boxes = [(-50, -50, 30, 20), (300, 200, 420, 280), (500, 500, 600, 600), (100, 0, 101, 1), (-9, -9, 999, 999)]
    blank = Image.new("RGB", (320, 240), (128, 128, 128))
    plain = np.asarray(draw_frame(blank, [], "caption", "", 320))
    for state in State:
        for box in boxes:
            drawn = np.asarray(draw_frame(blank, [Mark(box, 12, state)], "caption", "", 320))
            assert drawn.shape == plain.shape
            changed = (drawn != plain).any(-1)
            assert changed.sum() > 300  # a label, at least
            assert not changed[240:].any()  # not on the caption
    assert (plain[240:] == CAPTION).all(-1).any()


@pytest.mark.parametrize("box", [(100, 100, 200, 200), (310, 100, 320, 200)])
def test_labels_of_equal_boxes_lie_side_by_side_and_wholly_in_the_frame(box):
    blank = Image.new("RGB", (320, 240))
    marks = [Mark(box, number, State.WRONG) for number in (1, 2, 3)]
    pixels = np.asarray(draw_frame(blank, marks, "", "", 320)).reshape(-1, 3)
    for number in (1, 2):  # the last box covers the others' lines, so that their colours are those of their labels
        assert (pixels == colour_of(number)).all(1).sum() > 500


@pytest.mark.parametrize(
    ("size", "width", "shown"),
    [
        ((1280, 720), 640, (640, 360)),
        ((192, 144), 640, (576, 432)),
        ((144, 192), 640, (432, 576)),
        ((192, 144), 200, (192, 144)),
        ((500, 400), 640, (500, 400)),
        ((1080, 1920), 640, (640, 1138)),
        ((10, 3000), 640, (10, 3000)),
        ((100, 10000), 640, (41, 4096)),
        ((10000, 1), 640, (640, 1)),
        ((1, 1), 640, (480, 480)),
    ],
)
def test_sizes(size, width, shown):
    assert fit_size(size, width) == shown


def test_a_narrow_frame_is_drawn():
    mark = Mark((0, 0, 5, 3000), 12, State.WRONG)
    assert draw_frame(Image.new("RGB", (10, 3000)), [mark], "caption", "legend", 640).width == 10


def test_ink_has_contrast():
    assert ink_on((240, 228, 66)) == (0, 0, 0)
    assert ink_on((0, 114, 178)) == (255, 255, 255)


def test_mp4_holds_few_frames_at_a_time(tmp_path):
    made = []

    def frames():
        for i in range(30):
            assert sum(image() is not None for image in made) <= 3
            image = Image.new("RGB", (64, 48), (8 * i, 0, 0))
            made.append(weakref.ref(image))
            yield image

    write_animation(tmp_path / "a.mp4", frames(), 5)
    with av.open(tmp_path / "a.mp4") as video:
        assert sum(1 for _ in video.decode(video=0)) == 30


@pytest.mark.parametrize(("fps", "milliseconds"), [(5, 200), (15, 70), (30, 30), (50, 20), (0.1, 10_000)])
def test_a_gif_has_the_nearest_speed_it_can(tmp_path, fps, milliseconds):
    write_animation(tmp_path / "a.gif", (Image.new("RGB", (8, 8), (90 * i, 0, 0)) for i in range(3)), fps)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (3, milliseconds)
    assert frames_a_second("gif", fps) == pytest.approx(1000 / milliseconds)
    assert frames_a_second("mp4", fps) == fps


def test_long_gifs_are_refused():
    check_length("gif", 500, (640, 360), 1)
    check_length("mp4", 50_000, (640, 360), 1)
    with pytest.raises(UserError, match=r"1,001 frames of 640x360: .* at most 500; take fewer with --every 6, .*mp4"):
        check_length("gif", 1001, (640, 360), 2)
    with pytest.raises(UserError, match="at most 125"):
        check_length("gif", 126, (2000, 2000), 1)


def test_without_pyav_or_its_encoder_mp4_is_refused(monkeypatch):
    check_format("mp4")
    with monkeypatch.context() as patch:
        patch.setattr("av.codecs_available", {"h264"})
        with pytest.raises(UserError, match="--format mp4 needs PyAV with the encoder libx264"):
            check_format("mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"--format mp4 needs PyAV .*: pip install av"):
        check_format("mp4")
    check_format("gif")
