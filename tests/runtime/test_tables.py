"""Tables as aligned text."""

import pytest

from runtime.tables import align


@pytest.mark.parametrize(
    ("left", "rows", "lines"),
    [
        (0, ["step,loss", "7,0.25", "1000,12.5"], ["step  loss", "   7  0.25", "1000  12.5"]),
        (
            1,
            [",train,val", "frames,8,1200", "a,10,7"],
            ["        train   val", "frames      8  1200", "a          10     7"],
        ),
        (2, ["ab,c,1", "a,cd,10"], ["ab  c    1", "a   cd  10"]),
        (0, ["one"], ["one"]),
        # A title widens the first column only.
        (
            1,
            ["frames,8,9", "objects of a category", "  dog,10,7"],
            ["frames                  8  9", "objects of a category", "  dog                  10  7"],
        ),
        # Lines have no trailing spaces.
        (0, ["a long title", "x,", ",yy", ","], ["a long title", "           x", "              yy", ""]),
        (1, ["a long title", "x,", ",yy", ","], ["a long title", "x", "              yy", ""]),
    ],
)
def test_columns(left, rows, lines):
    assert align([row.split(",") for row in rows], left).split("\n") == lines
