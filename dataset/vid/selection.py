"""Selection of training images, queries and gallery from annotations; classes of snippets."""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from dataset.formats.manifest import Row
from dataset.vid.annotations import Snippet
from dataset.vid.siamfc_crops import crop_path

SNIPPET_CLASSES = ("missing_bbox", "single_bboxes", "multiple_bboxes")


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator for each (seed, purpose): the order of use does not matter."""
    return np.random.Generator(np.random.Philox([seed, zlib.crc32(purpose.encode())]))


def snippet_class(snippet: Snippet) -> str:
    """The class of a snippet, see `class_of`."""
    return class_of([len(frame.objects) for frame in snippet.frames])


def class_of(numbers: Sequence[int]) -> str:
    """The class of a snippet, given the number of objects in each frame.

    It is missing_bbox if over half of the frames have none, multiple_bboxes if over half have several, else
    single_bboxes.
    """
    if 2 * sum(n == 0 for n in numbers) > len(numbers):
        return "missing_bbox"
    return "multiple_bboxes" if 2 * sum(n > 1 for n in numbers) > len(numbers) else "single_bboxes"


def tracks(snippet: Snippet) -> dict[int, list[int]]:
    """trackid -> positions of the frames in which the object is not occluded, sorted by trackid."""
    tracks: dict[int, list[int]] = {}
    for position, frame in enumerate(snippet.frames):
        for o in frame.objects:
            if not o.occluded:
                tracks.setdefault(o.trackid, []).append(position)
    return dict(sorted(tracks.items()))


def train_rows(snippets: Iterable[Snippet]) -> list[Row]:
    """Rows (identity, path, camera, sequence) of every crop of an object that is not occluded in its frame.

    The identity is <snippet>/<trackid>, the camera is empty, the sequence is the snippet. Objects with only one such
    crop are excluded, as they have no positive pair.
    """
    rows: list[Row] = []
    for snippet in snippets:
        for trackid, positions in tracks(snippet).items():
            if len(positions) >= 2:
                identity = f"{snippet.name}/{trackid}"
                paths = (crop_path(snippet.frames[p], trackid) for p in positions)
                rows += [(identity, path, "", snippet.name) for path in paths]
    return rows


def query_gallery_rows(snippets: Iterable[Snippet], seed: int) -> tuple[list[Row], list[Row]]:
    """Rows (identity, path) of a retrieval set, for objects seen both early and late in their snippet.

    Returns:
        query: one random crop per identity from the first third of the frames.
        gallery: all its crops from the last two thirds. Both exclude crops of occluded objects.
    """
    rng = generator(seed, "query")
    query: list[Row] = []
    gallery: list[Row] = []
    for snippet in snippets:
        for trackid, positions in tracks(snippet).items():
            early = [p for p in positions if 3 * p < len(snippet.frames)]
            late = [p for p in positions if 3 * p >= len(snippet.frames)]
            if early and late:
                identity = f"{snippet.name}/{trackid}"
                chosen = early[rng.integers(len(early))]
                query.append((identity, crop_path(snippet.frames[chosen], trackid)))
                gallery += [(identity, crop_path(snippet.frames[p], trackid)) for p in late]
    return query, gallery
