"""Training batches as cards: a column for each identity, each image as the network gets it and as it was."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from dataset.loading.training_set import TrainingSet
from visualization.kit.cards import Card, Page, Section
from visualization.kit.printable import printable
from visualization.kit.thumbnails import from_pixels
from visualization.sources.training_source import TrainingBatch

COLUMNS = 8  # identities beside each other: more are neither read nor printed well
SIDE = 200  # pixels of the longer side
_ROLES = ("anchor", "positive", "negative")


def lay_out_sections(batches: Iterable[TrainingBatch], data: TrainingSet, column: int, roles: bool) -> list[Section]:
    """The sections of some batches.

    Args:
        batches: B images each, those of a column one after the other.
        data: their training set.
        column: images that belong together, usually K.
        roles: they are an anchor, a positive and a negative.
    """
    manifest = data.images.manifest
    sections = []
    for batch in batches:
        seen: dict[int, int] = {}
        cards, originals = [], []
        for place, index in enumerate(batch.indices):
            path, identity = printable(manifest.paths[index]), printable(manifest.identities[index])
            first = seen.setdefault(int(index), place)
            marks = [*([_ROLES[place % column]] if roles else []), *(["once more"] if first != place else [])]
            lines = (identity, PurePosixPath(path).name, *marks)
            full = f"{path}, identity {identity}, image {place + 1} of the batch" + "".join(f", {m}" for m in marks)
            cards.append(Card(from_pixels(batch.images[place], SIDE), lines, full=full))
            if batch.originals is not None:
                original = from_pixels(batch.originals[place], SIDE)
                originals.append(Card(original, ("as it was",), full=f"{full}, without augmentation"))
        groups = -(-len(cards) // column)
        for left in range(0, groups, COLUMNS):
            right = min(left + COLUMNS, groups)
            rows = []
            for number in range(column):
                places = [p for p in range(left * column + number, right * column, column) if p < len(cards)]
                rows += [[side[place] for place in places] for side in (cards, originals) if side and places]
            what = "triples" if roles else "columns"
            heading = f"Step {batch.step:,}, {what} {left + 1} to {right} of {groups}: {len(cards)} images"
            sections.append(Section(heading, rows, columns=True))
    return sections


def lay_out_batches(title: str, facts: dict[str, str], sections: list[Section], originals: bool) -> Page:
    """The page of them."""
    notes = ["Each column is what the batch has of one identity; below each image its identity and file."]
    if originals:
        notes.append("Below each image as the network gets it: the same without augmentation, only resized.")
    return Page(title, facts, notes, sections, legend=False)
