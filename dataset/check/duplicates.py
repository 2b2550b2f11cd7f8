"""Images with equal pixels: with different identities, in training and evaluation, or as easy matches."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, pairwise, product

import numpy as np

from dataset.check.contents import Contents, Part
from dataset.check.finding import Finding

# Name -> what it is, and whether it harms a training or an evaluation.
_KINDS = {
    "contradicting_copies": ("equal images with different identities", True),
    "leaked_images": ("images in train and in an evaluation set", True),
    "copied_matches": ("queries with an equal image as a match, which is trivial to find", True),
    "copies": ("equal images of one identity in one list", False),
}
Use = tuple[Part, int]  # a list, and an image's place in it


def find_duplicates(contents: Contents, digests: np.ndarray) -> list[Finding]:
    """Groups of images with equal pixels; a group is in the first kind that fits.

    Args:
        digests: (N, 16) uint8, as `pixels.look_at` returns.
    """
    found: dict[str, list[str]] = {name: [] for name in _KINDS}
    keys = _keys(digests)
    for uses in _groups(contents, keys):
        if kind := _kind(uses):
            found[kind].append(" = ".join(dict.fromkeys(_describe(contents, use) for use in uses)))
    findings = [Finding(name, what, found[name], harms) for name, (what, harms) in _KINDS.items()]
    return findings + [_episodes(contents, part, keys) for part in contents.parts.values() if part.episodes]


def _keys(digests: np.ndarray) -> np.ndarray:
    """(N,) int64: equal for files with equal pixels. A file that cannot be decoded equals itself only."""
    unreadable = ~digests.any(axis=1)
    _, keys = np.unique(digests.view("u8"), axis=0, return_inverse=True)
    keys = keys.reshape(-1).astype(np.int64)
    keys[unreadable] = len(digests) + np.flatnonzero(unreadable)
    return keys


def _groups(contents: Contents, keys: np.ndarray) -> Iterator[list[Use]]:
    """Yields the uses of equal images that are used more than once."""
    parts = list(contents.parts.values())
    owner = np.repeat(np.arange(len(parts)), [len(part.files) for part in parts])
    places = np.concatenate([np.arange(len(part.files)) for part in parts])
    own = np.concatenate([keys[part.files] for part in parts])
    order = np.argsort(own, kind="stable")
    bounds = np.flatnonzero(np.diff(own[order], prepend=-1, append=-1))
    for start, stop in pairwise(bounds):
        if stop - start > 1:
            yield [(parts[owner[row]], int(places[row])) for row in order[start:stop]]


def _kind(uses: list[Use]) -> str:
    names = {part.identities[place] for part, place in uses if part.identities is not None}
    if len(names) > 1:
        return "contradicting_copies"
    if any(part.name == "train" for part, _ in uses) and any(not part.trains for part, _ in uses):
        return "leaked_images"
    by_part: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        by_part[use[0].name].append(use)
    pairs = chain(product(by_part["query"], by_part["gallery"]), product(by_part["test"], repeat=2))
    if any(_is_match(*pair) for pair in pairs):
        return "copied_matches"
    labelled = [own for own in by_part.values() if own and own[0][0].episodes is None]
    return "copies" if any(len(own) > 1 for own in labelled) else ""


def _is_match(query: Use, match: Use) -> bool:
    """Whether the evaluation ranks this image of the same identity: it excludes the image itself, and its camera.

    All images of one list are ranked, whatever their cameras.
    """
    (part, place), (other, there) = query, match
    if part is not other and part.cameras is not None and other.cameras is not None:
        return part.cameras[place] != other.cameras[there]
    return part.files[place] != other.files[there]


def _describe(contents: Contents, use: Use) -> str:
    part, place = use
    name = contents.names[part.files[place]]
    identity = part.identities[place] if part.identities is not None else ""
    return f"{name} ({part.name}{f', {identity}' if identity else ''})"


def _episodes(contents: Contents, part: Part, keys: np.ndarray) -> Finding:
    """Episodes with two equal images in different roles."""
    episodes = part.episodes
    assert episodes is not None
    own = keys[part.files]
    anchors, positives = own[episodes.anchors], own[episodes.positives]
    lengths = np.diff(episodes.offsets)
    negatives = own[episodes.negatives]
    confused = (negatives == np.repeat(anchors, lengths)) | (negatives == np.repeat(positives, lengths))
    bad = (anchors == positives) | np.logical_or.reduceat(confused, episodes.offsets[:-1])
    items = [f"episode {name}" for name in episodes.names[bad]]
    return Finding(f"{part.name}_equal_roles", f"{part.name} with equal images in two roles", items, True)
