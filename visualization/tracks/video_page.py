"""The page of `visualize.py tracks`: metrics, the animation, and the distances of each frame to the next."""

from collections.abc import Sequence
from pathlib import Path

from visualization.kit.html_page import data_uri, render_notes, render_page, to_html
from visualization.tracks import matrices
from visualization.tracks.folder import source_tag
from visualization.tracks.matrices import Matrices, Objects
from visualization.tracks.tracking import Tracks

EMBEDDED_BYTES = 8_000_000  # a larger animation is not put into the page, which shows the file beside it

_STYLE = """
.figures td { text-align: right; } img.animation, video { max-width: 100%; border: 1px solid #ccc; }
"""
_ANIMATION_LABEL = "the video with numbered boxes"


def render_tracks(
    title: str,
    source: str,
    facts: dict[str, str],
    metrics: list[list[str]],
    notes: list[str],
    animation: Path,
    objects: Objects,
    tracks: Tracks,
    limit: int,
) -> str:
    """The page as HTML that needs no network.

    Args:
        source: which frames it shows, to be recognised by `folder.check_folder`.
        facts: what the head says, by name.
        metrics: a table whose first row and column are headings.
        notes: sentences below the table.
        animation: the file, which will be in the page's folder.
        tracks: from the embedding.
        limit: most sections of matchings: first those with a fault, then the others.
    """
    faulty, sound = _faulty_and_sound(objects.trackids, tracks)
    shown = sorted([*faulty, *sound][:limit])
    tables = Matrices(objects, tracks)
    sections = [tables.section(tracks.matchings[i]) for i in shown]
    body = [
        "<h2>How often the matches are right</h2>",
        _table(metrics),
        *render_notes(notes),
        "<h2>The video</h2>",
        _animation(animation),
        "<h2>Distances from frame to frame</h2>",
        "<p>Rows are the objects of a frame, columns those of the next that has any. The darker a cell, the nearer the "
        "two. A thick frame marks the assignment with the smallest sum: solid with ✓ where it joins one object "
        "with itself, dashed with ✗ where it joins two. ◆ marks where the object truly is in the next frame.</p>",
        *sections,
    ]
    left_out = [max(0, len(faulty) - limit), len(sound) - max(0, min(len(sound), limit - len(faulty)))]
    if any(left_out):
        body.append(
            f'<p class="note">Left out here: {left_out[0]:,} more pairs of frames with something wrong, and '
            f"{left_out[1]:,} where all is right; --sections says how many are shown.</p>"
        )
    style = f"{_STYLE}{matrices.STYLE}{tables.picture_rules()}\n"
    return render_page(title, facts, body, style, head=source_tag(source))


def _faulty_and_sound(trackids: Sequence[Sequence[int]], tracks: Tracks) -> tuple[list[int], list[int]]:
    """Matchings with a wrong match or a missing one, and the others."""
    faulty, sound = [], []
    for i, matching in enumerate(tracks.matchings):
        first, second = trackids[matching.first], trackids[matching.second]
        right = {first[row] for row, column in matching.pairs if first[row] == second[column]}
        whole = len(right) == len(matching.pairs) and right == set(first) & set(second)
        (sound if whole else faulty).append(i)
    return faulty, sound


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = ["".join(f'<th scope="col">{to_html(cell)}</th>' for cell in head)]
    for name, *cells in body:
        lines.append(f'<th scope="row">{to_html(name)}</th>' + "".join(f"<td>{to_html(cell)}</td>" for cell in cells))
    return '<table class="figures">' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _animation(file: Path) -> str:
    data = file.read_bytes()
    kind = "video/mp4" if file.suffix == ".mp4" else "image/gif"
    source = data_uri(kind, data) if len(data) <= EMBEDDED_BYTES else to_html(file.name)
    if kind == "video/mp4":
        return f'<video src="{source}" aria-label="{_ANIMATION_LABEL}" controls loop muted></video>'
    return f'<img class="animation" src="{source}" alt="{_ANIMATION_LABEL}">'
