"""Counts of images and identities in a prepared data set, to compare with the published ones."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataset.formats.manifest import Tables
from dataset.formats.reserved import DISTRACTOR, JUNK
from runtime.counting import counted
from runtime.printable import look_alike_note


@dataclass(frozen=True)
class Benchmark:
    """A published data set.

    Attributes:
        title, origin, licence: texts for dataset.json and for messages.
        published: name of a count, as in the result of `count` -> its published value.
        tracks: whether sequences are tracks. Tracks are counted.
    """

    title: str
    origin: str
    licence: str = "not stated; given by its authors for research"
    published: dict[str, int] = field(default_factory=dict)
    tracks: bool = False


def count(tables: Tables, tracks: bool = False) -> dict[str, int]:
    """The counts of every table: `train_images`, `train_identities` and so on.

    Junk (identity -1) and distractors (0000) of a gallery do not count as identities, unless a query has them. Their
    images are counted as `gallery_junk_images` and `gallery_distractor_images`.
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
    """The number of queries without a gallery image of their identity from another camera. They are not evaluated."""
    query, gallery = tables["query.csv"], tables["gallery.csv"]
    # Without cameras, a query must not match its own image.
    column = 2 if min(len(query[0]), len(gallery[0])) > 2 else 1
    seen = defaultdict(set)
    for row in gallery:
        seen[row[0]].add(row[column])
    return sum(not seen[row[0]] - {row[column]} for row in query)


def shared_identities(tables: Tables) -> list[str]:
    """Identities that are in train.csv and in an evaluation set, sorted."""
    train = {row[0] for row in tables.get("train.csv", ())}
    others = {row[0] for name, rows in tables.items() if name != "train.csv" for row in rows}
    return sorted(train & others - {JUNK, DISTRACTOR})


def describe(tables: Tables, counts: Mapping[str, Any]) -> list[str]:
    """One line of text per table, and a note on identities that look the same."""
    lines = []
    for name, rows in tables.items():
        stem = name.removesuffix(".csv")
        identities = counted(counts[f"{stem}_identities"], "identity", "identities")
        line = f"{name}: {counted(len(rows), 'image')} of {identities}"
        if f"{stem}_tracks" in counts:
            line += f" in {counted(counts[f'{stem}_tracks'], 'track')}"
        if len(rows[0]) > 2:
            line += f", {counted(len({row[2] for row in rows}), 'camera')}"
        if f"{stem}_junk_images" in counts:
            junk, distractors = counts[f"{stem}_junk_images"], counts[f"{stem}_distractor_images"]
            line += f"; including {junk:,} junk and {counted(distractors, 'distractor image')}"
        lines.append(line)
    if alike := look_alike_note(row[0] for rows in tables.values() for row in rows):
        lines.append(f"note: {alike}")
    return lines
