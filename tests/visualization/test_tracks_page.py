"""The page of `visualize.py tracks`: which pairs of frames it shows, and how."""

import re

import numpy as np
import pytest

from visualization.tracks.tracking import Matching, Tracks
from visualization.tracks.video_page import MOST_OBJECTS, NEAREST, WRONG, render_tracks


def page_of(folder, pairs, limit, size=2):
    """A page of len(pairs) + 1 frames with `size` objects each, and of which objects it wanted pictures."""
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
    told = re.search(r"Left out here: (\d+) more pairs of frames with something wrong, and (\d+) where all", page)
    assert (tuple(map(int, told.groups())) if told else None) == left_out
    assert page.count(">✗<") == 2 * (6 in shown)
    # Each picture is made and embedded once, and only where it is shown.
    frames = {i for first in shown for i in (first, first + 1)}
    assert sorted(wanted) == sorted((i, k) for i in frames for k in range(2))
    assert page.count("data:image/jpeg") == len(wanted)
    assert set(re.findall(r'class="picture (p\d+-\d+)"', page)) == {f"p{i}-{k}" for i, k in wanted}


def test_many_objects_get_a_sentence(tmp_path):
    size = MOST_OBJECTS + 1
    pairs = ((0, 1), (1, 0), *((k, k) for k in range(2, size)))
    page, wanted = page_of(tmp_path, [pairs], 5, size)
    assert f"41 and 41 objects, too many for a table: of 41 matches {size - 2} are right." in page
    assert "✗</span>" not in page
    assert wanted == []


def test_a_large_animation_stays_beside_the_page(tmp_path, monkeypatch):
    assert 'src="data:image/gif;base64,R0lG"' in page_of(tmp_path, PAIRS, 0)[0]
    monkeypatch.setattr("visualization.tracks.video_page.EMBEDDED_BYTES", 2)
    assert 'src="a.gif"' in page_of(tmp_path, PAIRS, 0)[0]


def luminance(colour):
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_marks_are_legible_on_every_shade(tmp_path):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    page, _ = page_of(tmp_path, PAIRS, 9)
    shades = set(re.findall(r'style="background:(#\w{6})"', page))
    assert shades == {NEAREST, "#ffffff"}
    assert page.count(WRONG) == 2  # the border and the sign
    for shade in shades:
        assert contrast(shade, WRONG) >= 4.5
        assert contrast(shade, "#222222") >= 4.5


def test_headings_and_marks_have_names(tmp_path):
    page, _ = page_of(tmp_path, PAIRS, 9)
    assert all("scope=" in tag for tag in re.findall(r"<th\b[^>]*>", page))
    marks = re.findall(r'<span class="mark[^>]*>', page)
    assert marks
    assert all('role="img" aria-label="' in tag for tag in marks)
