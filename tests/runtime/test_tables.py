"""Tables as aligned text."""

import pytest

from runtime.tables import align


def test_numbers_stand_on_the_right():
    assert align([["step", "loss"], ["7", "0.25"], ["1000", "12.5"]]) == "step  loss\n   7  0.25\n1000  12.5"


def test_left_columns():
    rows = [["", "train", "val"], ["frames", "8", "1,200"], ["a", "10", "7"]]
    assert align(rows, left=1).split("\n") == [
        "        train    val",
        "frames      8  1,200",
        "a          10      7",
    ]
    assert align([["ab", "c", "1"], ["a", "cd", "10"]], left=2) == "ab  c    1\na   cd  10"


def test_a_title_widens_the_first_column_only():
    rows = [["frames", "8", "9"], ["objects of a category"], ["  dog", "10", "7"]]
    assert align(rows, left=1).split("\n") == [
        "frames                  8  9",
        "objects of a category",
        "  dog                  10  7",
    ]


@pytest.mark.parametrize("left", [0, 1, 2])
def test_no_line_ends_in_spaces(left):
    rows = [["a title that is long"], ["x", ""], ["", "yy"], ["", ""]]
    assert all(line == line.rstrip() for line in align(rows, left).split("\n"))
    assert align([["one"]], left) == "one"
