"""Random boxes of an object's size, away from it: what the random crops of the easy set are cut around."""

import numpy as np

from dataset.vid.annotations import Frame
from dataset.vid.selection import generator
from dataset.vid.siamfc_crops import Box

RANDOM_CROPS = 5  # M, per episode of the random crop set
MAX_IOU = 0.3  # exclusive

_DRAWS = 80  # boxes drawn for each one wanted; enough unless hardly any box is far enough from the positive
_BLOCK = 16  # of them at a time: the first one nearly always has enough


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
