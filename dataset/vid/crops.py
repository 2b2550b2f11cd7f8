"""Object crops in the SiamFC convention: the object in the middle, with context, at a fixed size.

Source: Bertinetto et al., Fully-Convolutional Siamese Networks for Object Tracking, 2016, section 3.1 (curation), and
the `crop_like_SiamFC` code that trackers share, whose sampling grid and border blending this module reproduces.
"""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.errors import UserError
from dataset.vid.annotations import Frame

Box = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax in pixels

CONTEXT_AMOUNT = 0.01
EXEMPLAR_SIZE = 127
SEARCH_SIZE = 255
JPEG_QUALITY = 90

_FRAMES_PER_TASK = 16  # amortises the hand-over to a process and keeps the progress lines coming


def crop_window(
    box: Box, context: float = CONTEXT_AMOUNT, exemplar: int = EXEMPLAR_SIZE, search: int = SEARCH_SIZE
) -> Box:
    """The square that is cut out around a box: centred on it, side `s_z * search / exemplar`, in pixels.

    s_z = sqrt((w + c (w + h)) (h + c (w + h))), c = `context`: the side of the square with the area of the box and
    its margin.

    Raises:
        ValueError: when the box has no area.
    """
    xmin, ymin, xmax, ymax = box
    w, h = xmax - xmin, ymax - ymin
    if not (w > 0 and h > 0):
        raise ValueError(f"a box without area: {box}")
    margin = context * (w + h)
    half = math.sqrt((w + margin) * (h + margin)) * search / exemplar / 2
    cx, cy = (xmin + xmax) / 2, (ymin + ymax) / 2
    return cx - half, cy - half, cx + half, cy + half


def mean_colour(image: Image.Image) -> tuple[int, int, int]:
    """The mean of an RGB image over all pixels, rounded: the colour of what lies outside the frame."""
    mean = np.asarray(image).mean(axis=(0, 1))  # (H, W, 3) -> (3,)
    return tuple(int(value) for value in np.rint(mean))


def cut(image: Image.Image, window: Box, size: int = SEARCH_SIZE, colour: tuple[int, int, int] | None = None):
    """Resamples a window of an RGB image to `size` x `size` pixels, bilinear.

    Output pixel i samples the input at x0 + i * s / (size - 1), where pixel centres have whole coordinates: the first
    and the last pixel lie on the window's edges. `colour` (the mean colour of the image if None) is outside.

    Returns:
        PIL.Image.Image: RGB, (size, size).
    """
    colour = mean_colour(image) if colour is None else colour
    x0, y0, x1, y1 = window
    # Pillow clamps at the last pixel where the reference blends it with the colour outside; one pixel of frame in that
    # colour makes both the same.
    left, top = max(0, math.floor(x0) - 1), max(0, math.floor(y0) - 1)
    right, bottom = min(image.width, math.ceil(x1) + 2), min(image.height, math.ceil(y1) + 2)
    canvas = Image.new("RGB", (max(1, right - left) + 2, max(1, bottom - top) + 2), colour)
    if right > left and bottom > top:
        canvas.paste(image.crop((left, top, right, bottom)), (1, 1))
    # Pillow hands (i + 0.5) to the map and takes 0.5 off the result.
    ax, ay = (x1 - x0) / (size - 1), (y1 - y0) / (size - 1)
    cx = x0 - left + 1 - 0.5 * ax + 0.5
    cy = y0 - top + 1 - 0.5 * ay + 0.5
    return canvas.transform(
        (size, size), Image.Transform.AFFINE, (ax, 0, cx, 0, ay, cy), Image.Resampling.BILINEAR, fillcolor=colour
    )


def split_letter(frame: Frame) -> str:
    """The folder of a frame's crops: a, b, c, d for the training sub-folders ..._0000 to ..._0003, e for val.

    Raises:
        UserError: for any other folder.
    """
    if frame.split == "val":
        return "e"
    part = frame.folder.split("/")[0].removeprefix("ILSVRC2015_VID_train_")
    if frame.split != "train" or part not in ("0000", "0001", "0002", "0003"):
        raise UserError(f"{frame.split}/{frame.folder}: not in a folder ILSVRC2015_VID_train_0000 to ..._0003, or val")
    return "abcd"[int(part)]


def crop_path(frame: Frame, trackid: int, kind: str = "crop.x") -> str:
    """Path of a crop below the output folder, with forward slashes."""
    return f"crops/{split_letter(frame)}/{frame.snippet}/{frame.name}.{trackid:02d}.{kind}.jpg"


@dataclass(frozen=True)
class FrameCrops:
    """What to cut from one image: windows and the files to write them to."""

    image: Path
    crops: tuple[tuple[Box, Path], ...]


@dataclass
class CropCounts:
    """What became of the crops: files written, files that were there, and a message for every image that failed."""

    written: int = 0
    existing: int = 0
    errors: list[str] = field(default_factory=list)


def object_crops(root: Path, out: Path, frame: Frame) -> FrameCrops:
    """The crops of all objects of a frame."""
    crops = tuple((crop_window(o.box), Path(out) / crop_path(frame, o.trackid)) for o in frame.objects)
    return FrameCrops(frame.image_file(root), crops)


def write_crops(task: FrameCrops) -> CropCounts:
    """Writes the crops of one image that are not there yet; the image is decoded once, or not at all."""
    missing = [(window, path) for window, path in task.crops if not path.exists()]
    counts = CropCounts(existing=len(task.crops) - len(missing))
    if not missing:
        return counts
    try:
        with Image.open(task.image) as file:
            image = file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        counts.errors.append(f"{task.image}: cannot be read as an image: {error}")
        return counts
    colour = mean_colour(image)
    for window, path in missing:
        _save(cut(image, window, colour=colour), path)
        counts.written += 1
    return counts


def _save(image: Image.Image, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            image.save(temporary, "JPEG", quality=JPEG_QUALITY)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_all_crops(
    tasks: Iterable[FrameCrops], workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> CropCounts:
    """Writes the crops of many images in `workers` processes.

    Args:
        progress: called now and then with (images done, images in all).

    Raises:
        UserError: when a crop cannot be written. An image that cannot be read is an entry of `errors` instead.
    """
    tasks, total, done = list(tasks), CropCounts(), 0
    chunks = [tasks[i : i + _FRAMES_PER_TASK] for i in range(0, len(tasks), _FRAMES_PER_TASK)]
    for chunk, counts in zip(chunks, run_parallel(_write_chunk, chunks, workers), strict=True):
        total.written += counts.written
        total.existing += counts.existing
        total.errors += counts.errors
        done += len(chunk)
        if progress:
            progress(done, len(tasks))
    return total


def _write_chunk(chunk: Sequence[FrameCrops]) -> CropCounts:
    counts = [write_crops(task) for task in chunk]
    errors = [error for count in counts for error in count.errors]
    return CropCounts(sum(count.written for count in counts), sum(count.existing for count in counts), errors)


def run_parallel(function: Callable, arguments: Sequence, workers: int) -> Iterable:
    """Yields function(argument) in order; in this process when one worker is enough."""
    if workers <= 1 or len(arguments) <= 1:
        yield from map(function, arguments)
        return
    # A forked copy of a process with threads (TensorFlow's) can hang; a fresh one cannot.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(arguments)), mp_context=context, initializer=_obey_parent)
    try:
        yield from pool.map(function, arguments)
    finally:
        pool.shutdown(cancel_futures=True)


def _obey_parent() -> None:
    """Set up in a worker process: Ctrl-C is the parent's to handle, and a parent that was killed leaves no worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
