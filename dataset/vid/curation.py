"""From annotations to a training manifest, a retrieval set and episodes.

Every choice comes from a seed and from names, never from the order in which snippets arrive.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset.vid.annotations import Frame, Snippet
from dataset.vid.crops import Box, FrameCrops, crop_path, crop_window

RANDOM_CROPS = 5  # M, per episode of the random crop set
MAX_RANDOM_IOU = 0.3  # exclusive
MIN_CANDIDATES = 3  # the positive included

_BOX_DRAWS = 400  # boxes drawn per positive; enough unless hardly any box is far enough from it


def snippet_class(snippet: Snippet) -> str:
    """What over half of the frames are: missing_bbox (no object) or multiple_bboxes (several); else single_bboxes."""
    numbers = [len(frame.objects) for frame in snippet.frames]
    if 2 * sum(n == 0 for n in numbers) > len(numbers):
        return "missing_bbox"
    return "multiple_bboxes" if 2 * sum(n > 1 for n in numbers) > len(numbers) else "single_bboxes"


def _tracks(snippet: Snippet) -> dict[int, list[int]]:
    """Per trackid, sorted, the positions of the frames in which the object is not occluded."""
    tracks: dict[int, list[int]] = {}
    for position, frame in enumerate(snippet.frames):
        for o in frame.objects:
            if not o.occluded:
                tracks.setdefault(o.trackid, []).append(position)
    return dict(sorted(tracks.items()))


def _sorted(snippets: Iterable[Snippet]) -> list[Snippet]:
    return sorted(snippets, key=lambda snippet: snippet.folder)


def train_rows(snippets: Iterable[Snippet]) -> list[tuple[str, str, str, str]]:
    """Rows (identity, path, camera, sequence): every crop of an object that is not occluded in its frame.

    The identity is <snippet>/<trackid>, the sequence the snippet, the camera empty. Objects with a single such crop
    are left out: they cannot give a positive pair.
    """
    rows = []
    for snippet in _sorted(snippets):
        for trackid, positions in _tracks(snippet).items():
            if len(positions) >= 2:
                identity = f"{snippet.name}/{trackid}"
                paths = (crop_path(snippet.frames[p], trackid) for p in positions)
                rows += [(identity, path, "", snippet.name) for path in paths]
    return rows


def query_gallery_rows(snippets: Iterable[Snippet], seed: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Rows (identity, path) of a retrieval set, for objects seen both early and late in their snippet.

    Returns:
        query: one random crop per identity from the first third of the frames.
        gallery: all its crops from the last two thirds. Crops of occluded objects are left out of both.
    """
    rng = _generator(seed, "query")
    query, gallery = [], []
    for snippet in _sorted(snippets):
        for trackid, positions in _tracks(snippet).items():
            early = [p for p in positions if 3 * p < len(snippet.frames)]
            late = [p for p in positions if 3 * p >= len(snippet.frames)]
            if early and late:
                identity = f"{snippet.name}/{trackid}"
                chosen = early[rng.integers(len(early))]
                query.append((identity, crop_path(snippet.frames[chosen], trackid)))
                gallery += [(identity, crop_path(snippet.frames[p], trackid)) for p in late]
    return query, gallery


@dataclass
class EpisodeSet:
    """Episodes as (anchor, positive, negatives) paths.

    Attributes:
        asked: how many were asked for.
        shortfall: why there are fewer; empty when there are not.
        snippets: the number of snippets that can give an episode.
        random_crops: path -> (frame, box) of the random crops among the negatives.
    """

    name: str
    asked: int
    episodes: list[tuple[str, str, list[str]]] = field(default_factory=list)
    shortfall: str = ""
    snippets: int = 0
    random_crops: dict[str, tuple[Frame, Box]] = field(default_factory=dict)

    def random_crop_tasks(self, root: Path, out: Path) -> list[FrameCrops]:
        """The random crops to cut, one task a frame."""
        frames: dict[Frame, list[tuple[Box, Path]]] = {}
        for path, (frame, box) in sorted(self.random_crops.items()):
            frames.setdefault(frame, []).append((crop_window(box), Path(out) / path))
        return [FrameCrops(frame.image_file(root), tuple(crops)) for frame, crops in frames.items()]


def object_episodes(snippets: Iterable[Snippet], name: str, count: int, seed: int) -> EpisodeSet:
    """Episodes among the objects of one frame (`train_eval`, `val_eval`), from multiple_bboxes snippets.

    The anchor is a random object, not occluded, of a random frame. The positive is the same object, not occluded, in
    another frame, which has at least 3 objects; the others, occluded or not, are the negatives. Snippets take turns,
    and no (anchor, positive) pair comes twice.
    """
    snippets = [snippet for snippet in _sorted(snippets) if snippet_class(snippet) == "multiple_bboxes"]
    pairs = [_Pairs(snippet, MIN_CANDIDATES) for snippet in snippets]
    result = EpisodeSet(name, count)
    for pair in _take_turns(pairs, count, _generator(seed, name), result):
        others = [o.trackid for o in pair.second.objects if o.trackid != pair.trackid]
        negatives = [crop_path(pair.second, trackid) for trackid in others]
        result.episodes.append((pair.anchor_path, pair.positive_path, negatives))
    _explain(result, f"multiple_bboxes snippets with an object seen twice, once among {MIN_CANDIDATES} or more objects")
    return result


def random_crop_episodes(snippets: Iterable[Snippet], name: str, count: int, seed: int) -> EpisodeSet:
    """Episodes against random crops (`easy_val_eval`), from single_bboxes and multiple_bboxes snippets.

    Anchor and positive as in `object_episodes`, but the second frame may have any number of objects; the negatives are
    M = 5 random crops of that frame, each with IoU < 0.3 with the positive's box. Their files are not written here:
    see `EpisodeSet.random_crop_tasks`.
    """
    snippets = [snippet for snippet in _sorted(snippets) if snippet_class(snippet) != "missing_bbox"]
    pairs = [_Pairs(snippet, 1, needs_random_crops=True) for snippet in snippets]
    result = EpisodeSet(name, count)
    for pair in _take_turns(pairs, count, _generator(seed, name), result):
        boxes = random_boxes(pair.second, pair.trackid)
        negatives = [crop_path(pair.second, pair.trackid, f"random.{i}") for i in range(len(boxes))]
        result.random_crops |= {path: (pair.second, box) for path, box in zip(negatives, boxes, strict=True)}
        result.episodes.append((pair.anchor_path, pair.positive_path, negatives))
    _explain(result, f"snippets with an object seen twice, once with room for {RANDOM_CROPS} random crops")
    return result


def iou(box: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    intersection = max(width, 0) * max(height, 0)
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return intersection / (areas - intersection)


def random_boxes(frame: Frame, trackid: int) -> list[Box]:
    """M boxes of an object's size (each side within 1.4 times), centred in the frame, with IoU < 0.3 with its box.

    Their crops' file names say frame, trackid and number, so the boxes depend on just these and not on a seed: a file
    that an earlier curation left is always the right one. Empty when M such boxes are not found.
    """
    target = next(o.box for o in frame.objects if o.trackid == trackid)
    size = target[2] - target[0], target[3] - target[1]
    rng = _generator(trackid, f"{frame.split}/{frame.folder}/{frame.name}")
    boxes: list[Box] = []
    for _ in range(_BOX_DRAWS):
        cx, cy, log_w, log_h = rng.uniform((0, 0, -1, -1), (frame.width - 1, frame.height - 1, 1, 1)).tolist()
        w, h = size[0] * 1.4**log_w, size[1] * 1.4**log_h
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        if iou(box, target) < MAX_RANDOM_IOU:
            boxes.append(box)
            if len(boxes) == RANDOM_CROPS:
                return boxes
    return []


@dataclass(frozen=True)
class _Pair:
    """One object in two frames: the anchor in the first, the positive in the second."""

    trackid: int
    first: Frame
    second: Frame

    @property
    def anchor_path(self) -> str:
        return crop_path(self.first, self.trackid)

    @property
    def positive_path(self) -> str:
        return crop_path(self.second, self.trackid)


class _Pairs:
    """The (anchor, positive) pairs of one snippet; draws each at most once."""

    def __init__(self, snippet: Snippet, min_candidates: int, needs_random_crops: bool = False):
        self.frames = snippet.frames
        self.firsts: dict[int, list[int]] = {}  # position of the first frame -> trackids that can be the anchor
        self.seconds: dict[int, list[int]] = {}  # trackid -> positions that can be the second frame
        self.left = 0
        self.drawn: set[tuple[int, int, int]] = set()
        for trackid, positions in _tracks(snippet).items():
            seconds = [p for p in positions if self._usable(p, trackid, min_candidates, needs_random_crops)]
            self.seconds[trackid] = seconds
            for first in positions:
                others = len(seconds) - (first in seconds)
                self.left += others
                if others:
                    self.firsts.setdefault(first, []).append(trackid)
        self.order = sorted(self.firsts)

    def _usable(self, position: int, trackid: int, min_candidates: int, needs_random_crops: bool) -> bool:
        frame = self.frames[position]
        return len(frame.objects) >= min_candidates and (not needs_random_crops or bool(random_boxes(frame, trackid)))

    def draw(self, rng: np.random.Generator) -> _Pair:
        """A pair not drawn before: random frame, random object of it, random second frame. Needs `left` > 0."""
        while True:
            first = self.order[rng.integers(len(self.order))]
            trackid = self.firsts[first][rng.integers(len(self.firsts[first]))]
            second = self.seconds[trackid][rng.integers(len(self.seconds[trackid]))]
            if second != first and (first, trackid, second) not in self.drawn:
                break
        self.drawn.add((first, trackid, second))
        self.left -= 1
        return _Pair(trackid, self.frames[first], self.frames[second])


def _take_turns(pairs: Sequence[_Pairs], count: int, rng: np.random.Generator, result: EpisodeSet) -> Iterable[_Pair]:
    """Up to `count` pairs: one from every snippet in random order, then one more from every snippet, and so on."""
    result.snippets = sum(p.left > 0 for p in pairs)
    made = 0
    while made < count and (able := [p for p in pairs if p.left]):
        for i in rng.permutation(len(able))[: count - made]:
            yield able[i].draw(rng)
            made += 1


def _explain(result: EpisodeSet, needed: str) -> None:
    if len(result.episodes) < result.asked:
        result.shortfall = (
            f"{result.name}: {len(result.episodes)} of {result.asked} episodes: there are {result.snippets} {needed}, "
            f"and all their pairs are used"
        )


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox([seed, zlib.crc32(purpose.encode())]))
