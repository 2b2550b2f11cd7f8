"""Rankings as cards: a query, then the gallery images nearest to it."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from PIL import Image

from runtime.counting import counted
from runtime.errors import UserError
from runtime.printable import printable
from visualization.kit.cards import Card, Page, Section, Verdict
from visualization.kit.thumbnails import open_small
from visualization.rankings.ranked import Ranked, Ranking
from visualization.sources.embedded_set import EmbeddedSet, Points, check_can_open

SIDE = 200  # pixels of the longer side: sharp in print and on dense screens
_KEPT = 256  # images kept open: many rankings show the same ones

# The image at a position of a side ("query" or "gallery"); None if it cannot be opened.
Pictures = Callable[[str, int], Image.Image | None]

HEADINGS = {
    "worst": "Worst queries: lowest average precision",
    "best": "Best queries: highest average precision",
    "random": "Random queries",
    "": "",
}
INTRO = (
    "Each row is a query and the gallery images nearest to it, nearest first. Look for what the wrong images have in "
    "common with the query: colour, background, pose."
)
_CAPTIONS = (
    "Below a query: average precision (AP), identity, file, rank of the first match, number of matches. "
    "Below the others: rank and distance to the query, identity, file."
)


def lay_out_rankings(
    embedded: EmbeddedSet,
    rankings: Sequence[tuple[str, Ranking]],
    pictures: Pictures,
    *,
    title: str,
    intro: str = INTRO,
    notes: Sequence[str] = (),
    extremes: bool = False,
) -> Page:
    """The page of some rankings.

    Args:
        embedded: the set.
        rankings: each with its kind, a key of HEADINGS. Rankings of one kind follow each other.
        pictures: returns the images.
        title, intro, notes: texts of the page's head.
        extremes: mark the farthest match and the nearest image of another identity, and show them even if they are not
            among the first.
    """
    known = set(embedded.query.identities)
    sections: list[Section] = []
    for kind, ranking in rankings:
        if not sections or sections[-1].heading != HEADINGS[kind]:
            sections.append(Section(HEADINGS[kind], []))
        sections[-1].rows.append(_row(embedded, ranking, pictures, known, extremes))
    return Page(title, intro, embedded.facts, [*notes, _CAPTIONS, *note_unmatched(embedded)], sections)


def note_unmatched(embedded: EmbeddedSet) -> list[str]:
    """A sentence on queries that have no match, and therefore no ranking; none if there are none."""
    counts = embedded.task.counts
    absent, only = counts["queries_skipped_identity_absent"], counts["queries_skipped_only_same_camera"]
    reasons = [
        *([f"the gallery has no other image of the identity ({absent:,})"] if absent else []),
        *([f"the excluder removes all matches ({only:,})"] if only else []),
    ]
    count, verbs = absent + only, ("query has", "is") if absent + only == 1 else ("queries have", "are")
    return [f"{count:,} {verbs[0]} no match and {verbs[1]} not shown: {', '.join(reasons)}."] if reasons else []


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
    matches = counted(ranking.matches, "match")
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
        f"rank {entry.rank:,} · {_digits(entry.distance)}",
        f"{identity} ({role})" if role else identity,
        name,
        *marks,
    )
    return Card(pictures("gallery", entry.index), lines, Verdict.RIGHT if entry.right else Verdict.WRONG, full, gap=gap)


def _names(points: Points, index: int) -> tuple[str, str, str]:
    """Name of the file, its path, and its identity."""
    return PurePosixPath(points.paths[index]).name, points.paths[index], points.identities[index]


def _digits(distance: float) -> str:
    """The distance to four digits, short enough for a card."""
    return f"{distance:#.4g}".rstrip(".") if distance == 0 or 1e-3 <= distance < 1e5 else f"{distance:.1e}"


class FilePictures:
    """The images of a set, opened when they are needed; counts those that cannot be opened."""

    def __init__(self, embedded: EmbeddedSet, side: int = SIDE) -> None:
        """Raises a UserError when the place of the images is unknown."""
        self._files = {"query": check_can_open(embedded.query), "gallery": check_can_open(embedded.gallery)}
        self._open = lru_cache(_KEPT)(lambda file: open_small(file, side))
        self._opens: dict[Path, bool] = {}

    def __call__(self, side: str, index: int) -> Image.Image | None:
        file = self._files[side][index]
        picture = self._open(file)
        self._opens[file] = picture is not None
        return picture

    def check(self) -> str | None:
        """A clause about the images that could not be opened; None if all could.

        Raises:
            UserError: when none could be opened: the images are elsewhere.
        """
        missing = [file for file, opens in self._opens.items() if not opens]
        if missing and len(missing) == len(self._opens):
            raise UserError(f"{printable(missing[0])}: cannot be opened, and no other image either; set --image_root")
        return (
            f"images that cannot be opened: {len(missing):,}, the first is {printable(missing[0])}" if missing else None
        )
