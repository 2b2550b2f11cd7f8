"""The objects of a video matched, how often rightly, as a table, and what its words mean."""

from collections.abc import Sequence

import numpy as np

from dataset.vid.annotated_frames import AnnotatedFrame
from visualization.tracks.tracking import (
    NO_OVERLAP,
    Tracks,
    distance_matrix,
    expected_by_chance,
    overlap_distances,
    score,
    track,
)

NOTES = [
    "In the animation, a number is the one that the matching gave; new: matched to none before; wrong, in a dashed "
    "box: matched to another object. On this page, track is the number in the annotations.",
    "Right: of the objects that are in both of two consecutive frames, those matched to themselves. Wrong: matches of "
    "two different objects. Identity switches: an object's number is not the one it had when it was last seen.",
    "A frame is matched to the last one before it that has objects, and to no earlier one: an object that was away "
    "comes back with another number, which counts as a switch after absence.",
    "Overlap of boxes: the same assignment on 1 - IoU of the annotated boxes; boxes that do not overlap are not "
    "matched. Chance: a random assignment, on average; it matches all it can, whatever --max_distance is.",
]


def match(
    frames: Sequence[AnnotatedFrame], embeddings: Sequence[np.ndarray], metric: str, max_distance: float | None
) -> tuple[Tracks, list[list[str]]]:
    """Matches the objects of F frames by their embeddings.

    Args:
        embeddings: (N, D) of each frame.
        metric, max_distance: see `distance_matrix` and `track`.

    Returns:
        What is matched, and a table of how often rightly, beside the overlap of boxes and chance.
    """
    trackids = [tuple(o.trackid for o in f.frame.objects) for f in frames]
    boxes = [[o.box for o in f.frame.objects] for f in frames]
    tracks = track(trackids, lambda a, b: distance_matrix(embeddings[a], embeddings[b], metric), max_distance)
    by_overlap = track(trackids, lambda a, b: overlap_distances(boxes[a], boxes[b]), NO_OVERLAP)

    table = [["matched by", "right", "of", "right, %", "wrong", "identity switches", "after absence"]]
    for name, matched in (("embedding", tracks), ("overlap of boxes", by_overlap)):
        s = score(matched)
        faults = [f"{count:,}" for count in (s.wrong, s.switches, s.switches_after_absence)]
        table.append([name, f"{s.right:,}", f"{s.present:,}", _percent(s.right, s.present), *faults])
    chance = expected_by_chance(tracks)
    return tracks, [*table, ["chance", f"{chance:,.1f}", f"{s.present:,}", _percent(chance, s.present), "", "", ""]]


def _percent(part: float, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
