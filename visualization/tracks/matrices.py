"""Tables of distances: the objects of a frame as rows, those of the next as columns, and what was matched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from visualization.kit.html_page import data_uri
from visualization.tracks.boxes import colour_of, ink_on
from visualization.tracks.tracking import Matching, Tracks

MOST_OBJECTS = 40  # of a frame; a larger table nobody reads
# Legible on each other: WRONG on NEAREST, the darkest a cell gets.
NEAREST, WRONG = "#aacdf0", "#7a2e00"

STYLE = f"""
.matrix {{ overflow-x: auto; }}
.matrix th {{ font-weight: normal; font-size: .8rem; text-align: center; min-width: 5rem; color: #444; }}
.picture {{ display: block; width: 64px; height: 64px; margin: 0 auto .2rem; background: center / contain no-repeat;
            print-color-adjust: exact; }}
.matrix td {{ text-align: center; border: 1px solid #bbb; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.matrix td.chosen {{ border: 4px solid #000; }} .matrix td.wrong {{ border-style: dashed; border-color: {WRONG}; }}
.matrix td.gone {{ border: 0; font-size: .8rem; color: #444; }}
.number {{ display: inline-block; min-width: 1.2rem; padding: 0 .3rem; border-radius: .2rem; font-weight: bold;
           font-size: .95rem; }}
.mark {{ font-weight: bold; }} .wrong .verdict {{ color: {WRONG}; }}
"""


def _mark(sign: str, words: str, kind: str = "mark") -> str:
    return f'<span class="{kind}" role="img" aria-label="{words}">{sign}</span>'


_RIGHT_MARK = _mark("✓", "matched, rightly", "mark verdict")
_WRONG_MARK = _mark("✗", "matched, wrongly", "mark verdict")
_TRUE_MARK = _mark("◆", "the same object")


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


class Matrices:
    """Writes the sections of a page, all with one scale of colours, and collects the pictures that they show."""

    def __init__(self, objects: Objects, tracks: Tracks) -> None:
        self._objects, self._tracks = objects, tracks
        self._low = min(float(matching.distances.min()) for matching in tracks.matchings)
        self._high = max(float(matching.distances.max()) for matching in tracks.matchings)
        self._pictures: dict[str, bytes] = {}  # by CSS class

    def section(self, matching: Matching) -> str:
        """A heading and the table of one matching; with too many objects, a sentence in place of the table."""
        names = [escape(self._objects.names[i]) for i in (matching.first, matching.second)]
        heading = f"<h2>{names[0]} → {names[1]}</h2>\n"
        n, m = matching.distances.shape
        if max(n, m) > MOST_OBJECTS:
            first, second = (self._objects.trackids[i] for i in (matching.first, matching.second))
            right = sum(first[row] == second[column] for row, column in matching.pairs)
            counts = f"of {len(matching.pairs):,} matches {right:,} are right"
            return f"{heading}<p>{n:,} and {m:,} objects, too many for a table: {counts}.</p>"
        columns = "".join(f'<th scope="col">{self._object(matching.second, column)}</th>' for column in range(m))
        rows = [f'<th scope="col">{names[0]} ↓ &nbsp; {names[1]} →</th>{columns}<td class="gone"></td>']
        rows += self._rows(matching, f"not in {names[1]}")
        table = "".join(f"<tr>{row}</tr>\n" for row in rows)
        return f'{heading}<div class="matrix"><table>\n{table}</table></div>'

    def picture_rules(self) -> str:
        """The CSS of all pictures that the sections written so far show; each is there once."""
        rules = [
            f".{name} {{ background-image: url({data_uri('image/jpeg', p)}); }}" for name, p in self._pictures.items()
        ]
        return "\n".join(rules)

    def _rows(self, matching: Matching, gone: str) -> list[str]:
        first, second = self._objects.trackids[matching.first], self._objects.trackids[matching.second]
        pairs = frozenset(matching.pairs)
        rows = []
        for row, identity in enumerate(first):
            cells = [
                self._cell(float(matching.distances[row, column]), (row, column) in pairs, identity == other)
                for column, other in enumerate(second)
            ]
            note = "" if identity in second else gone
            head = f'<th scope="row">{self._object(matching.first, row)}</th>'
            rows.append(f'{head}{"".join(cells)}<td class="gone">{note}</td>')
        return rows

    def _object(self, frame: int, place: int) -> str:
        """An object's picture, the number it was given, and the one it truly has."""
        number, identity = self._tracks.numbers[frame][place], self._objects.trackids[frame][place]
        ground, ink = (f"rgb{c}".replace(" ", "") for c in (colour_of(number), ink_on(colour_of(number))))
        picture = f"p{frame}-{place}"
        if picture not in self._pictures:
            self._pictures[picture] = self._objects.thumbnail(frame, place)
        image = f'<span class="picture {picture}" role="img" aria-label="picture of object {number}"></span>'
        chip = f'<span class="number" style="background:{ground};color:{ink}">{number}</span>'
        return f"{image}{chip} track {identity}"

    def _cell(self, distance: float, chosen: bool, same: bool) -> str:
        marks = [*([_RIGHT_MARK if same else _WRONG_MARK] if chosen else []), *([_TRUE_MARK] if same else [])]
        classes = ["chosen", "right" if same else "wrong"] if chosen else []
        text = " ".join([_three_digits(distance), *marks])
        return f'<td class="{" ".join(classes)}" style="background:{self._shade(distance)}">{text}</td>'

    def _shade(self, distance: float) -> str:
        share = (distance - self._low) / (self._high - self._low) if self._high > self._low else 1.0
        return "#" + "".join(f"{round(near + share * (255 - near)):02x}" for near in bytes.fromhex(NEAREST[1:]))


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
