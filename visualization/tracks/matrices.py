"""Tables of distances: the objects of a frame as rows, those of the next as columns, and what was matched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from visualization.kit.colours import rgb_of
from visualization.tracks.boxes import Colour, colour_of, ink_on
from visualization.tracks.tracking import Matching, Tracks

MOST_OBJECTS = 40  # of a frame; a larger table nobody reads
# Legible on each other: WRONG on NEAREST, the darkest a cell gets.
NEAREST, WRONG = "#aacdf0", "#7a2e00"


@dataclass(frozen=True)
class Objects:
    """The objects of F frames.

    Attributes:
        names: F names of frames.
        trackids: the true identities of the objects, F tuples.
        thumbnail: from the positions of a frame and of an object in it to its picture, a JPEG.
    """

    names: Sequence[str]
    trackids: Sequence[Sequence[int]]
    thumbnail: Callable[[int, int], bytes]


class Shown(NamedTuple):
    """An object: its picture's name, the number it was given with its colours, and its true identity."""

    picture: str
    number: int
    ground: Colour
    ink: Colour
    identity: int


class Cell(NamedTuple):
    """A distance in three digits, its colour, whether it was matched, and whether it is of one object."""

    distance: str
    shade: str
    chosen: bool
    same: bool


class Matrix(NamedTuple):
    """The table of one matching; with too many objects, a sentence in place of columns and rows.

    A row is an object, its distances, and whether it is in the next frame.
    """

    first: str
    second: str
    columns: list[Shown]
    rows: list[tuple[Shown, list[Cell], bool]]
    counts: str = ""


class Matrices:
    """Makes tables with one scale of colours, and collects the pictures that they show.

    Attributes:
        thumbnails: the pictures of the tables made so far, JPEG files by name.
    """

    def __init__(self, objects: Objects, tracks: Tracks) -> None:
        self._objects, self._tracks = objects, tracks
        self._low = min(float(matching.distances.min()) for matching in tracks.matchings)
        self._high = max(float(matching.distances.max()) for matching in tracks.matchings)
        self.thumbnails: dict[str, bytes] = {}

    def table(self, matching: Matching) -> Matrix:
        """The table of one matching."""
        first, second = (self._objects.trackids[i] for i in (matching.first, matching.second))
        names = self._objects.names[matching.first], self._objects.names[matching.second]
        n, m = matching.distances.shape
        if max(n, m) > MOST_OBJECTS:
            counts = f"of {len(matching.pairs):,} matches {len(matching.right):,} are right"
            return Matrix(*names, [], [], f"{n:,} and {m:,} objects, too many for a table: {counts}.")
        pairs = frozenset(matching.pairs)
        rows = []
        for row, identity in enumerate(first):
            cells = []
            for column, other in enumerate(second):
                distance = float(matching.distances[row, column])
                cell = Cell(_three_digits(distance), self._shade(distance), (row, column) in pairs, identity == other)
                cells.append(cell)
            rows.append((self._shown(matching.first, row), cells, identity in second))
        return Matrix(*names, [self._shown(matching.second, column) for column in range(m)], rows)

    def _shown(self, frame: int, place: int) -> Shown:
        number, name = self._tracks.numbers[frame][place], f"p{frame}-{place}"
        if name not in self.thumbnails:
            self.thumbnails[name] = self._objects.thumbnail(frame, place)
        colour = colour_of(number)
        return Shown(name, number, colour, ink_on(colour), self._objects.trackids[frame][place])

    def _shade(self, distance: float) -> str:
        share = (distance - self._low) / (self._high - self._low) if self._high > self._low else 1.0
        return "#" + "".join(f"{round(near + share * (255 - near)):02x}" for near in rgb_of(NEAREST))


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
