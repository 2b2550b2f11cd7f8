"""The page of `visualize.py tracks`: metrics, the animation, and the distances of each frame to the next."""

from pathlib import Path

from visualization.kit.html_page import render_page
from visualization.tracks.matrices import WRONG, Matrices, Objects
from visualization.tracks.tracking import Tracks

EMBEDDED_BYTES = 8_000_000  # a larger animation is not put into the page, which shows the file beside it


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
    # Of a sound matching, all objects that are in both frames are matched to themselves, and no others are matched.
    sound = [i for i, m in enumerate(tracks.matchings) if len(m.right) == len(m.pairs) == m.present]
    faulty = sorted(set(range(len(tracks.matchings))).difference(sound))
    tables = Matrices(objects, tracks)
    return render_page(
        "tracks/video.html.jinja",
        title=title,
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
