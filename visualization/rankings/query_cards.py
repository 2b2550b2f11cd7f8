"""Rankings as cards: a query, then the images that are ranked first."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from PIL import Image

from runtime.errors import UserError
from visualization.kit.cards import Card, Page, Section, Verdict
from visualization.kit.printable import printable
from visualization.kit.thumbnails import open_small
from visualization.rankings.ranked import Ranked, Ranking
from visualization.sources.embedded_set import EmbeddedSet, Points, check_can_open

SIDE = 200  # pixels of the longer side: sharp in print and on dense screens
_KEPT = 256  # images that many rankings show are opened once

# From the side ("query" or "gallery") and the position there to the image; None where it cannot be opened.
Pictures = Callable[[str, int], Image.Image | None]

HEADINGS = {
    "worst": "The worst queries by average precision",
    "best": "The best queries by average precision",
    "random": "Queries drawn at random",
    "": "",
}


def lay_out_rankings(
    embedded: EmbeddedSet,
    rankings: Sequence[tuple[str, Ranking]],
    pictures: Pictures,
    *,
    title: str,
    notes: Sequence[str] = (),
    extremes: bool = False,
) -> Page:
    """The page of some rankings.

    Args:
        embedded: the set.
        rankings: each with its kind, a key of HEADINGS; those of one kind follow each other.
        pictures: gives the images.
        title, notes: of the page.
        extremes: mark the farthest match and the nearest image of another identity, and show them if they are not among
            the first.
    """
    known = set(embedded.query.identities)
    sections: list[Section] = []
    for kind, ranking in rankings:
        if not sections or sections[-1].heading != HEADINGS[kind]:
            sections.append(Section(HEADINGS[kind], []))
        sections[-1].rows.append(_row(embedded, ranking, pictures, known, extremes))
    notes = [*notes, "Below each image: its rank and its distance to the query, its identity, its file."]
    return Page(title, embedded.facts, [*notes, *note_left_out(embedded)], sections)


def note_left_out(embedded: EmbeddedSet) -> list[str]:
    """What is said of queries that have no match, and therefore no ranking."""
    counts = embedded.task.counts
    absent, only = counts["queries_skipped_identity_absent"], counts["queries_skipped_only_same_camera"]
    reasons = [
        *([f"of {absent:,} the gallery has no other image of the identity"] if absent else []),
        *([f"of {only:,} only such as are left out of the ranking"] if only else []),
    ]
    return [f"{absent + only:,} queries have no match and are not shown: {', '.join(reasons)}."] if reasons else []


def _row(embedded: EmbeddedSet, ranking: Ranking, pictures: Pictures, known: set[str], extremes: bool) -> list[Card]:
    wanted: dict[str, Ranked | None] = {"first match": ranking.first}
    if extremes:
        wanted = {"hardest positive": ranking.last, "hardest negative": ranking.nearest_wrong}
    entries = {entry.rank: entry for entry in (*ranking.top, *wanted.values()) if entry is not None}
    cards = [_query_card(embedded, ranking, pictures)]
    before = 0
    for rank, entry in sorted(entries.items()):
        gap = rank > before + 1
        marks = [mark for mark, marked in wanted.items() if entry == marked and (extremes or gap)]
        cards.append(_card(embedded, entry, pictures, known, marks, gap))
        before = rank
    return cards


def _query_card(embedded: EmbeddedSet, ranking: Ranking, pictures: Pictures) -> Card:
    name, path, identity = _names(embedded.query, ranking.query)
    matches = f"{ranking.matches:,} match{'es' if ranking.matches > 1 else ''}"
    lines = (f"query · AP {ranking.ap:.3f}", identity, name, f"first match: rank {ranking.first.rank:,}", matches)
    full = f"query {path}, identity {identity}, average precision {ranking.ap:.4f}, {matches}"
    return Card(pictures("query", ranking.query), lines, Verdict.QUERY, full)


def _card(
    embedded: EmbeddedSet, entry: Ranked, pictures: Pictures, known: set[str], marks: list[str], gap: bool
) -> Card:
    name, path, identity = _names(embedded.gallery, entry.index)
    role = "junk" if identity == "-1" else "" if identity in known else "distractor"
    camera = "" if embedded.gallery.cameras is None else f", camera {embedded.gallery.cameras[entry.index]}"
    full = f"rank {entry.rank}, distance {entry.distance:.6g}: {path}, identity {identity}{camera}"
    full += "".join(f", {mark}" for mark in [role, *marks] if mark)
    lines = (
        f"{entry.rank:,}. {_digits(entry.distance)}",
        f"{identity} ({role})" if role else identity,
        name,
        *marks,
    )
    return Card(pictures("gallery", entry.index), lines, Verdict.RIGHT if entry.right else Verdict.WRONG, full, gap=gap)


def _names(points: Points, index: int) -> tuple[str, str, str]:
    """The file's name, its path, and the identity."""
    return PurePosixPath(points.paths[index]).name, points.paths[index], points.identities[index]


def _digits(distance: float) -> str:
    """A distance to four digits, of a length that fits."""
    return f"{distance:#.4g}".rstrip(".") if distance == 0 or 1e-3 <= distance < 1e5 else f"{distance:.1e}"


class FilePictures:
    """The images of a set, opened from their files as they are needed; counts those that cannot be opened."""

    def __init__(self, embedded: EmbeddedSet, side: int = SIDE) -> None:
        """Raises a UserError when it is not known where the images are."""
        self._files = {"query": check_can_open(embedded.query), "gallery": check_can_open(embedded.gallery)}
        self._open = lru_cache(_KEPT)(lambda file: open_small(file, side))
        self._opens: dict[Path, bool] = {}

    def __call__(self, side: str, index: int) -> Image.Image | None:
        file = self._files[side][index]
        picture = self._open(file)
        self._opens[file] = picture is not None
        return picture

    def check(self) -> str | None:
        """A sentence on the images that could not be opened, if there are any.

        Raises:
            UserError: when none could be opened: the images are somewhere else.
        """
        missing = [file for file, opens in self._opens.items() if not opens]
        if missing and len(missing) == len(self._opens):
            raise UserError(
                f"{printable(missing[0])}: cannot be opened, and no other image either; give the right --image_root"
            )
        return (
            f"images that cannot be opened: {len(missing):,}, the first is {printable(missing[0])}" if missing else None
        )
