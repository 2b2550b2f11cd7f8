"""Identities: in training and evaluation, without a match, seen by one camera only, and names that look the same."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from dataset.check.contents import NOBODY, Contents, Part
from dataset.check.finding import Finding
from runtime.printable import looks_of


def find_shared_identities(contents: Contents) -> list[Finding]:
    """Identities of the training list that are evaluated too.

    If all evaluated identities are in the training list, the set is closed by design, and that is a note. If only
    some are, they have leaked: the metrics are too high. Further identities of a gallery are distractors: a note.
    """
    train = _names(contents.parts.get("train"))
    findings = []
    for name in ("query", "test"):
        evaluated = _names(contents.parts.get(name))
        shared = sorted(evaluated & train)
        closed = bool(shared) and len(shared) == len(evaluated)
        what = f"identities of {name} that are also in train"
        what += " (all of them, so the metrics say nothing about unseen identities)" if closed else ""
        findings.append(Finding(f"shared_{name}_identities", what, shared, harms=not closed))
    others = (_names(contents.parts.get("gallery")) - _names(contents.parts.get("query"))) & train
    findings.append(
        Finding("shared_gallery_identities", "distractors of gallery that are also in train", sorted(others), False)
    )
    return findings


def find_lonely_images(contents: Contents) -> list[Finding]:
    """Queries without a match, which the evaluation skips, and identities that one camera has seen."""
    findings = []
    if "query" in contents.parts and "gallery" in contents.parts:
        query, gallery = contents.parts["query"], contents.parts["gallery"]
        cameras = query.cameras is not None and gallery.cameras is not None
        lonely = _unmatched(query, gallery, cameras)
        match = "gallery image from another camera" if cameras else "other image in the gallery"
        findings.append(_lonely(contents, query, lonely, f"queries whose identity has no {match}"))
    if test := contents.parts.get("test"):
        findings.append(
            _lonely(contents, test, _unmatched(test, test, False), "images of test whose identity has no other image")
        )
    for part in contents.labelled():
        if part.cameras is None or part.name in ("query", "multi_query"):
            continue
        seen = _seen(part, part.cameras)
        items = [f"{identity} (camera {next(iter(own))})" for identity, own in sorted(seen.items()) if len(own) == 1]
        if len({camera for own in seen.values() for camera in own}) > 1:
            what = f"identities of {part.name} seen by one camera only"
            findings.append(Finding(f"{part.name}_one_camera", what, items, harms=False))
    return findings


def find_similar_names(contents: Contents) -> list[Finding]:
    """Identities and cameras whose names look the same, or differ only in upper and lower case."""
    identities = {name for part in contents.parts.values() for name in _listed(part.identities)}
    cameras = {name for part in contents.parts.values() for name in _listed(part.cameras)}
    findings = []
    for kind, names in (("identities", identities), ("cameras", cameras)):
        alike = _alike(names, looks_of)
        case = [group for group in _alike(names, lambda name: looks_of(name).casefold()) if group not in alike]
        for name, what, groups in (
            (f"{kind}_that_look_the_same", f"{kind} whose names look the same", alike),
            (f"{kind}_that_differ_in_case", f"{kind} whose names differ only in upper and lower case", case),
        ):
            items = [", ".join(ascii(each) for each in group) for group in groups]
            findings.append(Finding(name, what, items, harms=groups is alike))
    return findings


def _alike(names: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[key(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _listed(values: np.ndarray | None) -> list[str]:
    return [] if values is None else values.tolist()


def _names(part: Part | None) -> set[str]:
    return set() if part is None or part.identities is None else set(part.identities).difference(NOBODY)


def _seen(part: Part, by: np.ndarray) -> dict[str, set[object]]:
    """Identity -> what it was seen by."""
    seen: dict[str, set[object]] = defaultdict(set)
    for identity, each in zip(_listed(part.identities), by, strict=True):
        if identity not in NOBODY:
            seen[identity].add(each)
    return seen


def _unmatched(query: Part, gallery: Part, cameras: bool) -> list[int]:
    """The places of queries without an image of their identity in the gallery, by another camera or in another file."""
    own = query.cameras if cameras and query.cameras is not None else query.files
    theirs = gallery.cameras if cameras and gallery.cameras is not None else gallery.files
    seen = _seen(gallery, theirs)
    return [
        place
        for place, identity in enumerate(_listed(query.identities))
        if identity not in NOBODY and not seen.get(identity, set()) - {own[place]}
    ]


def _lonely(contents: Contents, part: Part, places: list[int], what: str) -> Finding:
    every = len(places) == len(part.files)
    assert part.identities is not None
    items = [f"{contents.names[part.files[place]]} ({part.identities[place]})" for place in places]
    return Finding(f"unmatched_{part.name}", f"{what}{' (all queries)' * every}", items, harms=every)
