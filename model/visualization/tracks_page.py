"""The page of `visualize.py tracks`: figures, the animation, and the distances of each frame to the next."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from model.tracking import Matching, Tracks
from model.visualization.drawing import colour_of, ink_on

EMBEDDED_BYTES = 8_000_000  # a larger animation is not put into the page, which shows the file beside it

_NEAR = (120, 170, 220)  # of a cell with the smallest distance; the largest is white, and black text is legible on both
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 70rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; } th, td { padding: .3rem .6rem; text-align: left; vertical-align: middle; }
.facts th { font-weight: normal; color: #555; } .facts td { overflow-wrap: anywhere; }
.figures th, .figures td { border-bottom: 1px solid #ccc; } .figures td { text-align: right; }
.matrix { overflow-x: auto; }
.matrix th { font-weight: normal; font-size: .8rem; text-align: center; min-width: 5rem; color: #444; }
.matrix img { display: block; width: 64px; height: 64px; margin: 0 auto .2rem; }
.matrix td { text-align: center; border: 1px solid #bbb; font-variant-numeric: tabular-nums; white-space: nowrap; }
.matrix td.chosen { border: 4px solid #000; } .matrix td.wrong { border-style: dashed; border-color: #b04a00; }
.number { display: inline-block; min-width: 1.2rem; padding: 0 .3rem; border-radius: .2rem; font-weight: bold;
          font-size: .95rem; }
.mark { font-weight: bold; } .wrong .mark.verdict { color: #9a3f00; }
img.animation, video { max-width: 100%; border: 1px solid #ccc; }
.note { color: #555; }
"""


@dataclass(frozen=True)
class Video:
    """What the page shows of F frames.

    Attributes:
        names: F names of frames.
        trackids: the true identities of the objects, F tuples.
        thumbnails: a JPEG per object, F lists.
        animation: the file, in the page's folder.
    """

    names: Sequence[str]
    trackids: Sequence[Sequence[int]]
    thumbnails: Sequence[Sequence[bytes]]
    animation: Path


def tracks_page(
    title: str,
    facts: dict[str, str],
    figures: list[list[str]],
    notes: list[str],
    video: Video,
    tracks: Tracks,
    limit: int,
) -> str:
    """The page as HTML that needs no network.

    Args:
        facts: what the head says, by name.
        figures: a table whose first row and column are headings.
        notes: sentences below the table.
        tracks: from the embedding.
        limit: sections of matchings in which everything is right; those with a fault are all shown.
    """
    chosen = _sections(video, tracks, limit)
    shades = _Shades(tracks.matchings)
    parts = [
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width">',
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>",
        '<table class="facts">',
        *(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()),
        "</table>",
        "<h2>How often the matches are right</h2>",
        _figures(figures),
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
        "<h2>The video</h2>",
        _animation(video.animation),
        "<h2>Distances from frame to frame</h2>",
        "<p>Rows are the objects of a frame, columns those of the next that has any. The darker a cell, the nearer the "
        "two. A thick frame marks the assignment with the smallest sum: solid with ✓ where it joins one object "
        "with itself, dashed with ✗ where it joins two. ◆ marks where the object truly is in the next frame.</p>",
        *(_section(tracks.matchings[i], video, tracks, shades) for i in chosen),
    ]
    left_out = len(tracks.matchings) - len(chosen)
    if left_out:
        parts.append(f'<p class="note">{left_out} more pairs of frames, all of them right, are left out here.</p>')
    return "\n".join([*parts, "</body>\n</html>\n"])


def _sections(video: Video, tracks: Tracks, limit: int) -> list[int]:
    """Which matchings are shown: those with a fault, and the first `limit` of the others."""
    faulty, sound = [], []
    for i, matching in enumerate(tracks.matchings):
        first, second = video.trackids[matching.first], video.trackids[matching.second]
        right = {first[row] for row, column in matching.pairs if first[row] == second[column]}
        whole = len(right) == len(matching.pairs) and right == set(first) & set(second)
        (sound if whole else faulty).append(i)
    return sorted([*faulty, *sound[:limit]])


def _figures(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += [f"<th>{escape(row[0])}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) for row in body]
    return '<table class="figures">' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _animation(file: Path) -> str:
    data = file.read_bytes()
    kind = "video/mp4" if file.suffix == ".mp4" else "image/gif"
    source = _data_uri(kind, data) if len(data) <= EMBEDDED_BYTES else escape(file.name)
    if kind == "video/mp4":
        return f'<video src="{source}" controls loop muted></video>'
    return f'<img class="animation" src="{source}" alt="the video with numbered boxes">'


def _section(matching: Matching, video: Video, tracks: Tracks, shades: "_Shades") -> str:
    first, second = matching.first, matching.second
    names = [escape(video.names[i]) for i in (first, second)]
    head = "".join(
        f"<th>{_object(video, tracks, second, column)}</th>" for column in range(len(video.trackids[second]))
    )
    rows = [f"<th>{names[0]} ↓ &nbsp; {names[1]} →</th>{head}<th></th>"]
    for row, identity in enumerate(video.trackids[first]):
        cells = [_cell(matching, row, column, video, shades) for column in range(matching.distances.shape[1])]
        gone = "" if identity in video.trackids[second] else f"not in {names[1]}"
        rows.append(f"<th>{_object(video, tracks, first, row)}</th>{''.join(cells)}<th>{gone}</th>")
    table = "".join(f"<tr>{line}</tr>\n" for line in rows)
    return f'<h2>{names[0]} → {names[1]}</h2>\n<div class="matrix"><table>\n{table}</table></div>'


def _object(video: Video, tracks: Tracks, frame: int, place: int) -> str:
    """An object's picture, the number it was given, and the one it truly has."""
    number, identity = tracks.numbers[frame][place], video.trackids[frame][place]
    colours = [f"rgb{c}".replace(" ", "") for c in (colour_of(number), ink_on(colour_of(number)))]
    picture = _data_uri("image/jpeg", video.thumbnails[frame][place])
    chip = f'<span class="number" style="background:{colours[0]};color:{colours[1]}">{number}</span>'
    return f'<img src="{picture}" alt="object {number}">{chip} track {identity}'


def _cell(matching: Matching, row: int, column: int, video: Video, shades: "_Shades") -> str:
    distance = float(matching.distances[row, column])
    same = video.trackids[matching.first][row] == video.trackids[matching.second][column]
    marks, classes = [], []
    if (row, column) in matching.pairs:
        classes = ["chosen", "right" if same else "wrong"]
        marks.append('<span class="mark verdict">✓</span>' if same else '<span class="mark verdict">✗</span>')
    if same:
        marks.append('<span class="mark">◆</span>')
    text = " ".join([_three_digits(distance), *marks])
    return f'<td class="{" ".join(classes)}" style="background:{shades.of(distance)}">{text}</td>'


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


class _Shades:
    """Colours of distances, on one scale for all matrices, so that they can be compared."""

    def __init__(self, matchings: Sequence[Matching]) -> None:
        self._low = min(float(matching.distances.min()) for matching in matchings)
        self._high = max(float(matching.distances.max()) for matching in matchings)

    def of(self, distance: float) -> str:
        share = (distance - self._low) / (self._high - self._low) if self._high > self._low else 1.0
        return "#" + "".join(f"{round(near + share * (255 - near)):02x}" for near in _NEAR)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
