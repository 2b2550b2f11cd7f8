"""Episodes from annotations: find an object of one frame among the objects or random crops of another frame.

All random choices depend only on a seed and on names. Snippets are in the order of their folders, as in an index.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.vid.annotations import Frame, Snippet
from dataset.vid.crop_writer import FrameCrops
from dataset.vid.selection import generator, snippet_class, tracks
from dataset.vid.siamfc_crops import DEFAULT, Box, CropSettings, crop_path
from runtime.counting import counted

MIN_CANDIDATES = 3  # including the positive
RANDOM_CROPS = 5  # M, per episode of the random crop set
MAX_IOU = 0.3  # exclusive

_DRAWS = 80  # boxes drawn per box needed; enough unless nearly all boxes are too close to the positive
_BLOCK = 16  # boxes drawn at a time; the first block nearly always has enough

Usable = Callable[[Frame, int], bool]  # (frame, trackid): whether that object can be a positive


class Pair(NamedTuple):
    """One object in two frames of a snippet, and their positions: the first has the anchor, the second the positive."""

    trackid: int
    first: Frame
    second: Frame
    positions: tuple[int, int]


@dataclass
class EpisodeSet:
    """Episodes as (anchor, positive, negatives) paths.

    Attributes:
        asked: the requested number of episodes.
        shortfall: why there are fewer; empty if there are enough.
        snippets: the number of snippets with an episode.
        attributes: `snippet`, `category` and `gap` (difference of the two frame numbers) of each episode.
        random_crops: path -> (frame, box) of the random crops among the negatives.
    """

    name: str
    asked: int
    episodes: list[tuple[str, str, list[str]]] = field(default_factory=list)
    shortfall: str = ""
    snippets: int = 0
    attributes: dict[str, list[str | int]] = field(default_factory=lambda: {"snippet": [], "category": [], "gap": []})
    random_crops: dict[str, tuple[Frame, Box]] = field(default_factory=dict)

    def add(self, pair: Pair, negatives: list[str]) -> None:
        """Adds the episode of a pair."""
        trackid, first, second, positions = pair
        self.episodes.append((crop_path(first, trackid), crop_path(second, trackid), negatives))
        # Numbers in names give the gap: positions would ignore skipped frames.
        names = first.name, second.name
        one, other = map(int, names) if all(name.isdecimal() for name in names) else positions
        self.attributes["snippet"].append(first.snippet)
        self.attributes["category"].append(next(o.category for o in second.objects if o.trackid == trackid))
        self.attributes["gap"].append(abs(other - one))

    def random_crop_tasks(self, root: Path, out: Path, settings: CropSettings = DEFAULT) -> list[FrameCrops]:
        """The random crops to cut, one task per frame."""
        frames: dict[Frame, list[tuple[Box, str]]] = {}
        for path, (frame, box) in sorted(self.random_crops.items()):
            frames.setdefault(frame, []).append((box, path))
        return [
            FrameCrops(frame.image_file(root), frame, out, tuple(boxes), settings) for frame, boxes in frames.items()
        ]

    def without(self, broken: set[str]) -> int:
        """Drops the episodes that need one of these paths. Returns how many."""
        keep = [i for i, (*_, negatives) in enumerate(self.episodes) if broken.isdisjoint(negatives)]
        dropped = len(self.episodes) - len(keep)
        self.episodes = [self.episodes[i] for i in keep]
        self.attributes = {name: [values[i] for i in keep] for name, values in self.attributes.items()}
        self.snippets = len(set(self.attributes["snippet"]))
        return dropped


def object_episodes(snippets: Iterable[Snippet], name: str, count: int, seed: int) -> EpisodeSet:
    """Episodes among the objects of one frame (`train_eval`, `val_eval`), from multiple_bboxes snippets.

    The anchor is a random object, not occluded, in a random frame. The positive is the same object, not occluded, in
    another frame with at least 3 objects. The other objects of that frame, occluded or not, are the negatives. Snippets
    take turns; no (anchor, positive) pair occurs twice.
    """
    pairs = [_Pairs(s, MIN_CANDIDATES) for s in snippets if snippet_class(s) == "multiple_bboxes"]
    needed = f"class multiple_bboxes, an object seen twice, once among {MIN_CANDIDATES} or more objects"
    result = EpisodeSet(name, count)
    for pair in _take_turns(result, pairs, seed, needed):
        others = [o.trackid for o in pair.second.objects if o.trackid != pair.trackid]
        result.add(pair, [crop_path(pair.second, trackid) for trackid in others])
    return result


def random_crop_episodes(
    snippets: Iterable[Snippet],
    name: str,
    count: int,
    seed: int,
    crops: int = RANDOM_CROPS,
    max_iou: float = MAX_IOU,
) -> EpisodeSet:
    """Episodes against random crops (`easy_val_eval`), from single_bboxes and multiple_bboxes snippets.

    Anchor and positive are chosen as in `object_episodes`, but the second frame may have any number of objects. The
    negatives are `crops` random crops of that frame, each with IoU < `max_iou` with the positive's box. This does not
    write their files: see `EpisodeSet.random_crop_tasks`.
    """

    def has_room(frame: Frame, trackid: int) -> bool:
        return bool(random_boxes(frame, trackid, crops, max_iou))

    pairs = [_Pairs(s, 1, has_room) for s in snippets if snippet_class(s) != "missing_bbox"]
    needed = f"an object seen twice, once with room for {crops} random crops"
    result = EpisodeSet(name, count)
    for pair in _take_turns(result, pairs, seed, needed):
        boxes = random_boxes(pair.second, pair.trackid, crops, max_iou)
        negatives = [crop_path(pair.second, pair.trackid, random_kind(i, max_iou)) for i in range(len(boxes))]
        result.random_crops |= {path: (pair.second, box) for path, box in zip(negatives, boxes, strict=True)}
        result.add(pair, negatives)
    return result


class _Pairs:
    """The (anchor, positive) pairs of one snippet, each drawn at most once.

    `usable` may be slow: it is called only for drawn positives.
    """

    def __init__(self, snippet: Snippet, min_candidates: int, usable: Usable | None = None) -> None:
        self.frames, self.usable = snippet.frames, usable
        enough = [len(frame.objects) >= min_candidates for frame in snippet.frames]
        self.positions = tracks(snippet)  # trackid -> positions of the frames where it is seen
        self.seconds = {trackid: [p for p in seen if enough[p]] for trackid, seen in self.positions.items()}
        self.drawn: set[tuple[int, int, int]] = set()
        self.left = sum(len(self.seconds[trackid]) * (len(seen) - 1) for trackid, seen in self.positions.items())
        self._find_firsts()

    def _find_firsts(self) -> None:
        """Sets the possible first frames, in order, and for each the track ids that can be the anchor."""
        self.firsts: dict[int, list[int]] = {}
        for trackid, seen in self.positions.items():
            for first in seen:
                if self.seconds[trackid] not in ([], [first]):
                    self.firsts.setdefault(first, []).append(trackid)
        self.order = sorted(self.firsts)

    def draw(self, rng: np.random.Generator) -> Pair | None:
        """A new pair: a random frame, a random object in it, a random second frame. None if there is no new pair."""
        while self.left:
            first = self.order[rng.integers(len(self.order))]
            trackid = self.firsts[first][rng.integers(len(self.firsts[first]))]
            second = self.seconds[trackid][rng.integers(len(self.seconds[trackid]))]
            if second == first or (first, trackid, second) in self.drawn:
                continue
            if self.usable and not self.usable(self.frames[second], trackid):
                self.seconds[trackid].remove(second)
                self.left -= len(self.positions[trackid]) - 1
                self._find_firsts()
                continue
            self.drawn.add((first, trackid, second))
            self.left -= 1
            return Pair(trackid, self.frames[first], self.frames[second], (first, second))
        return None


def _take_turns(result: EpisodeSet, pairs: list[_Pairs], seed: int, needed: str) -> Iterator[Pair]:
    """Yields the requested number of pairs, in rounds: one pair from every snippet per round, in random order.

    In the end it records in `result` how many snippets had a pair, and why there are too few pairs. `needed` describes
    a suitable snippet.
    """
    rng = generator(seed, result.name)
    made, gave = 0, set()
    while made < result.asked and (able := [i for i, p in enumerate(pairs) if p.left]):
        for i in rng.permutation(len(able)):
            if made == result.asked:
                break
            if pair := pairs[able[i]].draw(rng):
                gave.add(able[i])
                made += 1
                yield pair
    result.snippets = len(gave)
    if made < result.asked:
        result.shortfall = (
            f"{result.name}: only {made:,} of {counted(result.asked, 'episode')}, as all pairs are used; "
            f"suitable snippets: {result.snippets:,} ({needed})"
        )


def random_boxes(frame: Frame, trackid: int, count: int = RANDOM_CROPS, max_iou: float = MAX_IOU) -> list[Box]:
    """`count` boxes of about an object's size (sides within a factor of 1.4), centred in the frame, IoU < `max_iou`.

    They depend only on the frame, the object and the limit, not on a seed. The file names contain the same three (see
    `random_kind`), so files of an earlier curation are always right. Empty if there are not enough boxes.
    """
    target = next(o.box for o in frame.objects if o.trackid == trackid)
    size = np.array([target[2] - target[0], target[3] - target[1]])
    rng = generator(trackid, f"{frame.split}/{frame.folder}/{frame.name}")
    boxes: list[Box] = []
    for _ in range(_DRAWS * count // _BLOCK):
        high = (frame.width - 1, frame.height - 1, 1, 1)
        drawn = rng.uniform((0, 0, -1, -1), high, (_BLOCK, 4))
        centres, half = drawn[:, :2], size * 1.4 ** drawn[:, 2:] / 2  # (n, 2) each
        candidates = np.concatenate([centres - half, centres + half], axis=1)  # (n, 4)
        boxes += map(tuple, candidates[ious(candidates, target) < max_iou].tolist())
        if len(boxes) >= count:
            return boxes[:count]
    return []


def random_kind(number: int, max_iou: float = MAX_IOU) -> str:
    """The `kind` of random crop `number`, see `crop_path`."""
    return f"random.{number}" if max_iou == MAX_IOU else f"random_{max_iou!r}.{number}"


def ious(boxes: np.ndarray, other: Box) -> np.ndarray:
    """The IoU of each of N boxes with another box: (N, 4) -> (N,)."""
    width = np.minimum(boxes[:, 2], other[2]) - np.maximum(boxes[:, 0], other[0])
    height = np.minimum(boxes[:, 3], other[3]) - np.maximum(boxes[:, 1], other[1])
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return intersection / (areas + (other[2] - other[0]) * (other[3] - other[1]) - intersection)
