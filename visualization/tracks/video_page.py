"""The page of `visualize.py tracks`: metrics, the animation, and the distances of each frame to the next.

Tables hold the distances: rows are the objects of a frame, columns those of the next.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from visualization.kit.colours import rgb_of
from visualization.kit.html_page import render_page
from visualization.tracks.boxes import Colour, colour_of, ink_on
from visualization.tracks.tracking import Matching, Tracks

EMBEDDED_BYTES = 8_000_000  # a larger animation stays a file next to the page
MOST_OBJECTS = 40  # in a frame; larger tables are not shown
# WRONG is legible on NEAREST, the darkest colour of a cell.
NEAREST, WRONG = "#aacdf0", "#7a2e00"

# From the positions of a frame and of an object in it to the object's picture, a JPEG file.
Thumbnail = Callable[[int, int], bytes]


def render_tracks(
    title: str,
    source: str,
    facts: dict[str, str],
    metrics: list[list[str]],
    notes: list[str],
    animation: Path,
    tracks: Tracks,
    names: Sequence[str],
    thumbnail: Thumbnail,
    limit: int,
) -> str:
    """The page as HTML that needs no network.

    Args:
        source: the frames it shows; `folder.check_folder` compares it.
        facts: lines of the head by name.
        metrics: a table whose first row and column are headings.
        notes: sentences below the table.
        animation: the file, in the page's folder.
        tracks: from the embedding, over F frames.
        names: F names of frames.
        thumbnail: returns the picture of an object.
        limit: number of matchings shown, at most; those with errors first.
    """
    # Sound: all objects in both frames are matched to themselves, and no others are matched.
    sound = [i for i, m in enumerate(tracks.matchings) if len(m.right) == len(m.pairs) == m.present]
    faulty = sorted(set(range(len(tracks.matchings))).difference(sound))
    tables = Matrices(tracks, names, thumbnail)
    return render_page(
        "tracks/video.html.jinja",
        title=title,
        intro="Annotated objects of a video, matched from frame to frame by their embeddings. Look at the wrong "
        "matches: which objects does the network confuse, and when?",
        source=source,
        facts=facts,
        metrics=metrics,
        notes=notes,
        animation=animation.name,
        content=animation.read_bytes() if animation.stat().st_size <= EMBEDDED_BYTES else None,
        matrices=[tables.table(tracks.matchings[i]) for i in sorted([*faulty, *sound][:limit])],
        thumbnails=tables.thumbnails,
        left_out=[max(0, len(faulty) - limit), len(sound) - max(0, min(len(sound), limit - len(faulty)))],
        wrong=WRONG,
    )


class Shown(NamedTuple):
    """An object: name of its picture, the number it was given with its colours, and its true identity."""

    picture: str
    number: int
    ground: Colour
    ink: Colour
    identity: int


class Cell(NamedTuple):
    """A distance in three digits, its colour, whether the two are matched, and whether they are one object."""

    distance: str
    shade: str
    chosen: bool
    same: bool


class Matrix(NamedTuple):
    """The table of one matching; with too many objects, a sentence instead.

    A row is an object, its distances, and whether it is in the next frame.
    """

    first: str
    second: str
    columns: list[Shown]
    rows: list[tuple[Shown, list[Cell], bool]]
    counts: str = ""


class Matrices:
    """Makes tables with one scale of colours and collects their pictures.

    Attributes:
        thumbnails: pictures of the tables so far, JPEG files by name.
    """

    def __init__(self, tracks: Tracks, names: Sequence[str], thumbnail: Thumbnail) -> None:
        self._tracks, self._names, self._thumbnail = tracks, names, thumbnail
        self._low = min(float(matching.distances.min()) for matching in tracks.matchings)
        self._high = max(float(matching.distances.max()) for matching in tracks.matchings)
        self.thumbnails: dict[str, bytes] = {}

    def table(self, matching: Matching) -> Matrix:
        """The table of one matching."""
        first, second = matching.identities
        names = self._names[matching.first], self._names[matching.second]
        n, m = matching.distances.shape
        if max(n, m) > MOST_OBJECTS:
            counts = f"{len(matching.right):,} of {len(matching.pairs):,} matches are right"
            return Matrix(*names, [], [], f"{n:,} and {m:,} objects are too many for a table: {counts}.")
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
            self.thumbnails[name] = self._thumbnail(frame, place)
        colour = colour_of(number)
        return Shown(name, number, colour, ink_on(colour), self._tracks.trackids[frame][place])

    def _shade(self, distance: float) -> str:
        share = (distance - self._low) / (self._high - self._low) if self._high > self._low else 1.0
        return "#" + "".join(f"{round(near + share * (255 - near)):02x}" for near in rgb_of(NEAREST))


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
