"""Rankings as cards: a query, then the images that are ranked first."""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from PIL import Image

from visualization.kit.cards import Card, Page, Section, Verdict
from visualization.rankings.ranked import Ranked, Ranking
from visualization.sources.embedded_set import EmbeddedSet, Points

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
    shown = list(ranking.top)
    places = {entry.rank for entry in shown}
    wanted = [ranking.last, ranking.nearest_wrong] if extremes else [ranking.first]
    later = {entry.rank: entry for entry in wanted if entry is not None and entry.rank not in places}
    cards = [_query_card(embedded, ranking, pictures)]
    before = len(shown)
    for entry in [*shown, *(later[rank] for rank in sorted(later))]:
        cards.append(_card(embedded, entry, ranking, pictures, known, extremes, gap=entry.rank > before + 1))
        before = max(before, entry.rank)
    return cards


def _query_card(embedded: EmbeddedSet, ranking: Ranking, pictures: Pictures) -> Card:
    name, path, identity = _names(embedded.query, ranking.query)
    matches = f"{ranking.matches:,} match{'es' if ranking.matches > 1 else ''}"
    lines = (f"query · AP {ranking.ap:.3f}", identity, name, f"first match: rank {ranking.first.rank:,}", matches)
    full = f"query {path}, identity {identity}, average precision {ranking.ap:.4f}, {matches}"
    return Card(pictures("query", ranking.query), lines, Verdict.QUERY, full)


def _card(
    embedded: EmbeddedSet,
    entry: Ranked,
    ranking: Ranking,
    pictures: Pictures,
    known: set[str],
    extremes: bool,
    gap: bool,
) -> Card:
    name, path, identity = _names(embedded.gallery, entry.index)
    role = ""
    if embedded.gallery.identities[entry.index] == "-1":
        role = "junk"
    elif embedded.gallery.identities[entry.index] not in known:
        role = "distractor"
    marks = []
    if extremes and entry == ranking.last:
        marks.append("hardest positive")
    if extremes and entry == ranking.nearest_wrong:
        marks.append("hardest negative")
    if not extremes and gap:
        marks.append("first match")
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
