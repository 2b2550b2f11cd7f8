"""Episodes from annotations: an object of one frame, sought among the objects or random crops of another.

Every choice comes from a seed and from names. Snippets come in the order of their folders, as an index has them.
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

MIN_CANDIDATES = 3  # the positive included
RANDOM_CROPS = 5  # M, per episode of the random crop set
MAX_IOU = 0.3  # exclusive

_DRAWS = 80  # boxes drawn for each one wanted; enough unless hardly any box is far enough from the positive
_BLOCK = 16  # of them at a time: the first one nearly always has enough

Usable = Callable[[Frame, int], bool]  # (frame, trackid): whether that object can be a positive


class Pair(NamedTuple):
    """One object in two frames of a snippet, the anchor in the first, the positive in the second; their positions."""

    trackid: int
    first: Frame
    second: Frame
    positions: tuple[int, int]


@dataclass
class EpisodeSet:
    """Episodes as (anchor, positive, negatives) paths.

    Attributes:
        asked: how many were asked for.
        shortfall: why there are fewer; empty when there are not.
        snippets: the number of snippets that gave an episode.
        attributes: of each episode: `snippet`, `category`, and `gap`, the difference of its frame numbers.
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
        # Their distance by their names, where these are numbers: frames between them may have been left out.
        names = first.name, second.name
        one, other = map(int, names) if all(name.isdecimal() for name in names) else positions
        self.attributes["snippet"].append(first.snippet)
        self.attributes["category"].append(next(o.category for o in second.objects if o.trackid == trackid))
        self.attributes["gap"].append(abs(other - one))

    def random_crop_tasks(self, root: Path, out: Path, settings: CropSettings = DEFAULT) -> list[FrameCrops]:
        """The random crops to cut, one task a frame."""
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

    The anchor is a random object, not occluded, of a random frame. The positive is the same object, not occluded, in
    another frame, which has at least 3 objects; the others, occluded or not, are the negatives. Snippets take turns,
    and no (anchor, positive) pair comes twice.
    """
    pairs = [_Pairs(s, MIN_CANDIDATES) for s in snippets if snippet_class(s) == "multiple_bboxes"]
    needed = f"multiple_bboxes snippets with an object seen twice, once among {MIN_CANDIDATES} or more objects"
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

    Anchor and positive as in `object_episodes`, but the second frame may have any number of objects; the negatives are
    `crops` random crops of that frame, each with IoU < `max_iou` with the positive's box. Their files are not written
    here: see `EpisodeSet.random_crop_tasks`.
    """

    def has_room(frame: Frame, trackid: int) -> bool:
        return bool(random_boxes(frame, trackid, crops, max_iou))

    pairs = [_Pairs(s, 1, has_room) for s in snippets if snippet_class(s) != "missing_bbox"]
    needed = f"snippets with an object seen twice, once with room for {crops} random crops"
    result = EpisodeSet(name, count)
    for pair in _take_turns(result, pairs, seed, needed):
        boxes = random_boxes(pair.second, pair.trackid, crops, max_iou)
        negatives = [crop_path(pair.second, pair.trackid, random_kind(i, max_iou)) for i in range(len(boxes))]
        result.random_crops |= {path: (pair.second, box) for path, box in zip(negatives, boxes, strict=True)}
        result.add(pair, negatives)
    return result


class _Pairs:
    """The (anchor, positive) pairs of one snippet; draws each at most once.

    `usable` may be slow, so that it is asked only for positives that are drawn.
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
        """The frames that can be the first one, in order, and for each the track ids that can be the anchor."""
        self.firsts: dict[int, list[int]] = {}
        for trackid, seen in self.positions.items():
            for first in seen:
                if self.seconds[trackid] not in ([], [first]):
                    self.firsts.setdefault(first, []).append(trackid)
        self.order = sorted(self.firsts)

    def draw(self, rng: np.random.Generator) -> Pair | None:
        """A pair not drawn before: random frame, random object of it, random second frame. None when there is none."""
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
    """As many pairs as are asked for: one from every snippet in random order, then another from every one, and on.

    At last it notes in `result` how many snippets gave one, and why there are fewer; `needed` is what a snippet needs.
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
            f"{result.name}: {made} of {result.asked} episodes: there are {result.snippets} {needed}, "
            f"and all their pairs are used"
        )


def random_boxes(frame: Frame, trackid: int, count: int = RANDOM_CROPS, max_iou: float = MAX_IOU) -> list[Box]:
    """`count` boxes of an object's size (each side within 1.4 times), centred in the frame, with IoU < `max_iou`.

    They depend on the frame, the object and the limit, and not on a seed: the crops' file names say just these (see
    `random_kind`), so that a file that an earlier curation left is always the right one. Empty when they are not found.
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
    """What the file name of random crop `number` says, see `crop_path`."""
    return f"random.{number}" if max_iou == MAX_IOU else f"random_{max_iou!r}.{number}"


def ious(boxes: np.ndarray, other: Box) -> np.ndarray:
    """IoU of each of N boxes with another one: (N, 4) -> (N,)."""
    width = np.minimum(boxes[:, 2], other[2]) - np.maximum(boxes[:, 0], other[0])
    height = np.minimum(boxes[:, 3], other[3]) - np.maximum(boxes[:, 1], other[1])
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return intersection / (areas + (other[2] - other[0]) * (other[3] - other[1]) - intersection)
