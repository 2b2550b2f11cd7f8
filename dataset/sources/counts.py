"""Counts what a prepared data set holds, and compares it with what its authors published."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from dataset.formats.manifest import Tables
from dataset.sources.names import DISTRACTOR, JUNK


@dataclass(frozen=True)
class Benchmark:
    """A published data set.

    Attributes:
        title, origin, licence: for dataset.json and for messages.
        published: name of a count, as `count` makes them -> its published value.
        tracks: whether its sequences are tracks, which are counted.
    """

    title: str
    origin: str
    licence: str = "not stated; given by its authors for research"
    published: dict[str, int] = field(default_factory=dict)
    tracks: bool = False


def count(tables: Tables, tracks: bool = False) -> dict[str, int]:
    """`train_images`, `train_identities` and so on of every table.

    In a gallery, junk (identity -1) and distractors (0000) are no identities, unless a query asks for them:
    `gallery_junk_images`, `gallery_distractor_images`.
    """
    counts: dict[str, int] = {}
    asked = {row[0] for row in tables.get("query.csv", ())}
    for name, rows in tables.items():
        stem = name.removesuffix(".csv")
        images = Counter(row[0] for row in rows)
        nobody = {JUNK, DISTRACTOR} - asked if stem == "gallery" else set()
        junk, distractors = (images.pop(label, 0) if label in nobody else 0 for label in (JUNK, DISTRACTOR))
        counts[f"{stem}_images"], counts[f"{stem}_identities"] = len(rows), len(images)
        if tracks:
            counts[f"{stem}_tracks"] = len({row[3] for row in rows})
        if junk or distractors:
            counts[f"{stem}_junk_images"], counts[f"{stem}_distractor_images"] = junk, distractors
            if tracks:
                counts[f"{stem}_junk_tracks"] = len({row[3] for row in rows if row[0] == JUNK})
    if "query.csv" in tables and "gallery.csv" in tables:
        counts["queries_without_match"] = queries_without_match(tables)
    return counts


def queries_without_match(tables: Tables) -> int:
    """Query images whose identity no other camera of the gallery has seen; the evaluation must skip them."""
    query, gallery = tables["query.csv"], tables["gallery.csv"]
    # Where a list has no cameras, the image itself is what a query must not be matched with.
    column = 2 if min(len(query[0]), len(gallery[0])) > 2 else 1
    seen = defaultdict(set)
    for row in gallery:
        seen[row[0]].add(row[column])
    return sum(not seen[row[0]] - {row[column]} for row in query)


def shared_identities(tables: Tables) -> list[str]:
    """Identities that are trained on and evaluated as well, sorted."""
    train = {row[0] for row in tables.get("train.csv", ())}
    others = {row[0] for name, rows in tables.items() if name != "train.csv" for row in rows}
    return sorted(train & others - {JUNK, DISTRACTOR})


def describe(tables: Tables, counts: dict[str, int]) -> list[str]:
    """A line for each table."""
    lines = []
    for name, rows in tables.items():
        stem = name.removesuffix(".csv")
        line = f"{name}: {len(rows)} images of {counts[f'{stem}_identities']} identities"
        if f"{stem}_tracks" in counts:
            line += f" in {counts[f'{stem}_tracks']} tracks"
        if len(rows[0]) > 2:
            line += f", {len({row[2] for row in rows})} cameras"
        if f"{stem}_junk_images" in counts:
            junk, distractors = counts[f"{stem}_junk_images"], counts[f"{stem}_distractor_images"]
            line += f"; among them {junk} images of junk and {distractors} of distractors"
        lines.append(line)
    return lines
