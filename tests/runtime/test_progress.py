"""Progress on a terminal and in a log file, by a clock that the test winds."""

import pytest

from runtime.progress import Progress, clock


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch) -> Clock:
    now = Clock()
    monkeypatch.setattr("runtime.progress.time.monotonic", now)
    return now


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3599.7, "1:00:00"), (360_000, "100:00:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_lines_in_a_log(time, capsys):
    progress = Progress("cropped", 4000, "frames")
    for second in range(1, 100):
        time.now = 1000 + second
        progress(20 * second)
    assert capsys.readouterr().out.splitlines() == [
        "cropped 600 of 4,000 frames (15%), 20 frames/s, 2:50 left",
        "cropped 1,200 of 4,000 frames (30%), 20 frames/s, 2:20 left",
        "cropped 1,800 of 4,000 frames (45%), 20 frames/s, 1:50 left",
    ]
    time.now = 1200
    progress(4000)
    assert capsys.readouterr().out == "cropped 4,000 of 4,000 frames in 3:20, 20 frames/s\n"


def test_what_was_skipped_does_not_count_for_long(time, capsys):
    """100,000 frames are there already; from then on it is 10 a second."""
    progress = Progress("cropped", 200_000, "frames")
    time.now += 1
    progress(100_000)
    for second in range(2, 300):
        time.now = 1000 + second
        progress(100_000 + 10 * second)
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "cropped 102,700 of 200,000 frames (51%), 10 frames/s, 2:42:10 left"


def test_all_at_once(time, capsys):
    progress = Progress("read", 7, "snippets")
    time.now += 3.5
    progress(7)
    assert capsys.readouterr().out == "read 7 of 7 snippets in 0:04, 2 snippets/s\n"


def test_nothing_done_yet(time, capsys):
    progress = Progress("read", 7, "snippets", every=5)
    progress(0)
    assert capsys.readouterr().out == ""
    time.now += 6
    progress(0)
    assert capsys.readouterr().out == "read 0 of 7 snippets (0%), 0 snippets/s, ? left\n"


def test_a_terminal_has_one_line_that_changes(time, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    progress = Progress("cropped", 40, "frames")
    for second in range(1, 5):
        time.now = 1000 + second
        progress(10 * second)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert printed.endswith("\n")
    lines = printed.rstrip("\n").split("\r")
    assert [len(line) for line in lines] == [79] * 4  # each covers the one before
    assert lines[1].rstrip() == "cropped 20 of 40 frames (50%), 10 frames/s, 0:02 left"
    assert lines[-1].rstrip() == "cropped 40 of 40 frames in 0:04, 10 frames/s"
