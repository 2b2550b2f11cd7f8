"""Progress on a terminal and in a log file, with a clock set by the test."""

from types import SimpleNamespace

import pytest

from runtime.progress import Progress, clock


@pytest.fixture
def tell(monkeypatch, capsys):
    """A function that returns the printed text, given numbers of frames done and seconds since the start."""

    def told(total, done, **options):
        now = SimpleNamespace(monotonic=lambda: 1000)
        monkeypatch.setattr("runtime.progress.time", now)
        progress = Progress("cropped", total, "frames", **options)
        for second, number in done:
            now.monotonic = lambda second=second: 1000 + second
            progress(number)
        return capsys.readouterr().out

    return told


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3599.7, "1:00:00"), (360_000, "100:00:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("total", "every", "done", "lines"),
    [
        (
            4000,
            None,
            [*((second, 20 * second) for second in range(1, 100)), (200, 4000)],
            [
                "cropped 600 of 4,000 frames (15%), 20 frames/s, 2:50 left",
                "cropped 1,200 of 4,000 frames (30%), 20 frames/s, 2:20 left",
                "cropped 1,800 of 4,000 frames (45%), 20 frames/s, 1:50 left",
                "cropped 4,000 of 4,000 frames in 3:20, 20 frames/s",
            ],
        ),
        (7, None, [(3.5, 7)], ["cropped 7 of 7 frames in 0:04, 2 frames/s"]),
        (7, 5, [(0, 0), (6, 0)], ["cropped 0 of 7 frames (0%), 0 frames/s, ? left"]),
    ],
)
def test_lines_in_a_log(tell, total, every, done, lines):
    assert tell(total, done, every=every).splitlines() == lines


def test_what_was_skipped_does_not_count_for_long(tell):
    """100,000 frames exist already; after that the speed is 10 per second."""
    *_, last = tell(200_000, [(second, 100_000 + 10 * second) for second in range(1, 300)]).splitlines()
    assert last == "cropped 102,700 of 200,000 frames (51%), 10 frames/s, 2:42:10 left"


def test_a_terminal_has_one_line_that_changes(tell, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    printed = tell(40, [(second, 10 * second) for second in range(1, 5)])
    assert printed.count("\n") == 1
    assert printed.endswith("\n")
    lines = printed.rstrip("\n").split("\r")
    assert [len(line) for line in lines] == [79] * 4  # each overwrites the one before
    assert lines[1].rstrip() == "cropped 20 of 40 frames (50%), 10 frames/s, 0:02 left"
    assert lines[-1].rstrip() == "cropped 40 of 40 frames in 0:04, 10 frames/s"
