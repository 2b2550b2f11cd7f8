"""What `visualize.py tracks` may overwrite, and how its files take their places."""

import contextlib
from html import escape

import pytest

from runtime.errors import UserError
from visualization.tracks.folder import check_folder, replace_together


def source_tag(source):
    return f'<meta name="frames" content="{escape(source)}">'


def write(folder, source, *names):
    check_folder(folder, source)
    with replace_together(folder) as temporary:
        for name in names:
            (temporary / name).write_text(source_tag(source))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_same_frames_are_written_again_and_the_other_animation_goes(tmp_path):
    out, source = tmp_path / "a" / "b", '/frames "1" & <2>'
    write(out, source, "tracks.mp4", "tracks.html")
    (out / "notes.txt").touch()
    write(out, source, "tracks.gif", "tracks.html")
    assert names_in(out) == ["notes.txt", "tracks.gif", "tracks.html"]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"tracks.html": source_tag("/other")}, "shows the frames of /other; give another folder with --out"),
        ({"tracks.html": "my own page"}, "it is not known which frames"),
        ({"tracks.mp4": "my own video"}, "tracks.mp4 is there already"),
    ],
)
def test_what_shows_other_frames_stays(tmp_path, there, expected):
    for name, text in there.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=expected):
        check_folder(tmp_path, "/frames")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == there


def test_checking_makes_nothing(tmp_path):
    (tmp_path / "mine").touch()
    check_folder(tmp_path, "/frames")
    check_folder(tmp_path / "a" / "b", "/frames")
    assert names_in(tmp_path) == ["mine"]
    with pytest.raises(UserError, match=r"cannot write into .*: .* is no folder"):
        check_folder(tmp_path / "mine" / "a", "/frames")


def test_after_an_error_all_is_as_it_was(tmp_path):
    write(tmp_path, "/frames", "tracks.gif", "tracks.html")
    with contextlib.suppress(RuntimeError), replace_together(tmp_path) as temporary:
        (temporary / "tracks.mp4").touch()
        raise RuntimeError("no more")
    assert names_in(tmp_path) == ["tracks.gif", "tracks.html"]
