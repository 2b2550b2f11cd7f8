"""The files of `visualize.py tracks`: numbered boxes on frames, animations, the page; overwriting."""

import contextlib
import re
import sys
import weakref

import av
import numpy as np
import pytest
from PIL import Image

from runtime.errors import UserError
from visualization.kit.colours import PALETTE, rgb_of
from visualization.tracks.animation import check_format, check_length, frames_a_second, write_animation
from visualization.tracks.boxes import BLACK, CAPTION, WHITE, Mark, State, colour_of, draw_frame, fit_size, ink_on
from visualization.tracks.folder import check_folder, replace_together
from visualization.tracks.tracking import Matching, Tracks
from visualization.tracks.video_page import MOST_OBJECTS, NEAREST, WRONG, render_tracks


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
    narrow, mark = Image.new("RGB", (10, 3000)), Mark((0, 0, 5, 3000), 12, State.WRONG)
    assert draw_frame(narrow, [mark], "caption", "legend", 640).width == 10


@pytest.mark.parametrize("box", [(100, 100, 200, 200), (310, 100, 320, 200)])
def test_labels_of_equal_boxes_lie_side_by_side_and_wholly_in_the_frame(box):
    blank = Image.new("RGB", (320, 240))
    marks = [Mark(box, number, State.WRONG) for number in (1, 2, 3)]
    pixels = np.asarray(draw_frame(blank, marks, "", "", 320)).reshape(-1, 3)
    for number in (1, 2):  # the last box covers the others' lines: their colours are those of their labels
        assert (pixels == colour_of(number)).all(1).sum() > 500


@pytest.mark.parametrize(
    ("size", "width", "shown"),
    [
        ((192, 144), 640, (576, 432)),
        ((144, 192), 640, (432, 576)),
        ((192, 144), 200, (192, 144)),
        ((1080, 1920), 640, (640, 1138)),
        ((100, 10000), 640, (41, 4096)),
        ((10000, 1), 640, (640, 1)),
        ((1, 1), 640, (480, 480)),
    ],
)
def test_sizes(size, width, shown):
    assert fit_size(size, width) == shown


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
    with pytest.raises(
        UserError, match=r"1,001 frames of 640x360: .* at most 500; set --every 6 for fewer frames, .*mp4"
    ):
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


def page_of(folder, pairs, limit, size=2):
    """A page of len(pairs) + 1 frames with `size` objects each, and the objects that it needed pictures of."""
    (folder / "a.gif").write_bytes(b"GIF")
    wanted = []

    def thumbnail(frame, place):
        wanted.append((frame, place))
        return b"%d-%d" % (frame, place)

    frames = range(len(pairs) + 1)
    ids = tuple(range(size))
    matchings = [Matching(i, i + 1, (ids, ids), np.eye(size), pair) for i, pair in enumerate(pairs)]
    page = render_tracks(
        title="t",
        source="s",
        facts={},
        metrics=[["a"], ["b"]],
        notes=[],
        animation=folder / "a.gif",
        tracks=Tracks([ids for _ in frames], tuple(matchings), tuple(tuple(k + 1 for k in ids) for _ in frames)),
        names=[f"f{i}" for i in frames],
        thumbnail=thumbnail,
        limit=limit,
    )
    return page, wanted


RIGHT, WRONGLY, MISSING = ((0, 0), (1, 1)), ((0, 1), (1, 0)), ((0, 0),)
PAIRS = [RIGHT] * 6 + [WRONGLY, RIGHT, MISSING]


@pytest.mark.parametrize(
    ("limit", "shown", "left_out"),
    [
        (0, [], (2, 7)),
        (1, [6], (1, 7)),
        (2, [6, 8], (0, 7)),
        (4, [0, 1, 6, 8], (0, 5)),
        (9, list(range(9)), None),
        (99, list(range(9)), None),
    ],
)
def test_sections_are_limited_and_faults_come_first(tmp_path, limit, shown, left_out):
    page, wanted = page_of(tmp_path, PAIRS, limit)
    assert re.findall(r"<h2>f(\d) → f\d</h2>", page) == [str(i) for i in shown]
    told = re.search(r"Not shown: (\d+) more pairs of frames with errors, and (\d+) without", page)
    assert (tuple(map(int, told.groups())) if told else None) == left_out
    assert page.count(">✗<") == 2 * (6 in shown)
    # Each picture is made and embedded once, and only where it is shown.
    frames = {i for first in shown for i in (first, first + 1)}
    assert sorted(wanted) == sorted((i, k) for i in frames for k in range(2))
    assert page.count("data:image/jpeg") == len(wanted)
    assert set(re.findall(r'class="picture (p\d+-\d+)"', page)) == {f"p{i}-{k}" for i, k in wanted}
    # Headings and marks have names for screen readers.
    assert all("scope=" in tag for tag in re.findall(r"<th\b[^>]*>", page))
    marks = re.findall(r'<span class="mark[^>]*>', page)
    assert len(marks) >= len(shown)
    assert all('role="img" aria-label="' in tag for tag in marks)


def test_many_objects_get_a_sentence(tmp_path):
    size = MOST_OBJECTS + 1
    pairs = ((0, 1), (1, 0), *((k, k) for k in range(2, size)))
    page, wanted = page_of(tmp_path, [pairs], 5, size)
    assert f"41 and 41 objects are too many for a table: {size - 2} of 41 matches are right." in page
    assert "✗</span>" not in page
    assert wanted == []


def test_a_large_animation_stays_beside_the_page(tmp_path, monkeypatch):
    assert 'src="data:image/gif;base64,R0lG"' in page_of(tmp_path, PAIRS, 0)[0]
    monkeypatch.setattr("visualization.tracks.video_page.EMBEDDED_BYTES", 2)
    assert 'src="a.gif"' in page_of(tmp_path, PAIRS, 0)[0]


def contrast(one, other):
    """The contrast of two colours "#rrggbb" by WCAG, from 1 to 21."""
    values = np.array([rgb_of(one), rgb_of(other)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    dark, light = sorted(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return light / dark


def test_marks_and_numbers_are_legible_on_every_shade(tmp_path):
    page, _ = page_of(tmp_path, PAIRS, 9)
    shades = set(re.findall(r'style="background:(#\w{6})"', page))
    assert shades == {NEAREST, "#ffffff"}
    assert page.count(WRONG) == 2  # the border and the sign
    for shade in shades:
        assert contrast(shade, WRONG) >= 4.5
        assert contrast(shade, "#222222") >= 4.5
    for colour in PALETTE:
        inks = {BLACK: contrast(colour, "#000000"), WHITE: contrast(colour, "#ffffff")}
        assert ink_on(rgb_of(colour)) == max(inks, key=inks.get)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("tracks.html", '<meta name="frames" content="/other">', "shows the frames of /other; name another folder"),
        ("tracks.html", "my own page", "exists and shows unknown frames"),
        ("tracks.mp4", "my own video", "tracks.mp4 exists"),
    ],
)
def test_what_shows_other_frames_stays(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=expected):
        check_folder(tmp_path, "/frames")
    assert (tmp_path / name).read_text() == text


def test_after_an_error_all_is_as_it_was(tmp_path):
    (tmp_path / "tracks.gif").touch()
    with contextlib.suppress(RuntimeError), replace_together(tmp_path) as temporary:
        (temporary / "tracks.mp4").touch()
        raise RuntimeError("no more")
    with pytest.raises(UserError, match=r"cannot write into .*: .* is not a folder"):
        check_folder(tmp_path / "tracks.gif" / "a", "/frames")
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.gif"]
