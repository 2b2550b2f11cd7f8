"""Training batches as cards: a column for each identity, each image as the network gets it and as it was."""

from pathlib import PurePosixPath

from dataset.formats.manifest import Manifest
from visualization.kit.cards import Card, Section
from visualization.kit.thumbnails import from_pixels
from visualization.sources.training_source import TrainingBatch

COLUMNS = 8  # identities beside each other: more are neither read nor printed well
SIDE = 200  # pixels of the longer side
_ROLES = ("anchor", "positive", "negative")


def lay_out_batch(batch: TrainingBatch, manifest: Manifest, column: int, roles: bool) -> list[Section]:
    """The sections of a batch.

    Args:
        batch: B images, those of a column one after the other.
        manifest: all training images.
        column: images that belong together, usually K.
        roles: they are an anchor, a positive and a negative.
    """
    seen: set[int] = set()
    cards, originals = [], []
    for place, index in enumerate(batch.indices.tolist()):
        path, identity = manifest.paths[index], manifest.identities[index]
        marks = [*([_ROLES[place % column]] if roles else []), *(["once more"] if index in seen else [])]
        seen.add(index)
        full = ", ".join([path, f"identity {identity}", f"image {place + 1} of the batch", *marks])
        lines = (identity, PurePosixPath(path).name, *marks)
        cards.append(Card(from_pixels(batch.images[place], SIDE), lines, full=full))
        if batch.originals is not None:
            original = from_pixels(batch.originals[place], SIDE)
            originals.append(Card(original, ("as it was",), full=f"{full}, without augmentation"))
    groups = -(-len(cards) // column)
    sections = []
    for left in range(0, groups, COLUMNS):
        right = min(left + COLUMNS, groups)
        rows = []
        for number in range(column):
            shown = slice(left * column + number, right * column, column)
            rows += [side[shown] for side in (cards, originals) if side[shown]]
        what = "triples" if roles else "columns"
        heading = f"Step {batch.step:,}, {what} {left + 1} to {right} of {groups}: {len(cards)} images"
        sections.append(Section(heading, rows, columns=True))
    return sections
