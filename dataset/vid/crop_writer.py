"""Writes the crops of many frames in several processes. A file appears only when it is complete."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from dataset.formats.inside import check_inside
from dataset.loading.inspection import kind_of_file
from dataset.vid.annotations import Frame, Problem
from dataset.vid.siamfc_crops import CROPS, DEFAULT, Box, CropSettings, crop_path, cut, is_inside, mean_colour
from runtime.errors import UserError
from runtime.parallel import lots, run_parallel

PARTIAL = ".partial"  # folder in the output folder for incomplete files

_FRAMES_PER_TASK = 16  # reduces the overhead of processes, and still updates the progress often


@dataclass(frozen=True, slots=True)
class FrameCrops:
    """The crops to cut from one frame.

    Attributes:
        image: the frame's picture.
        frame: the annotated frame, for comparing its size with the picture's.
        out: the output folder.
        boxes: (box, file below `out`) of each crop.
        settings: size and quality of the files.
    """

    image: Path
    frame: Frame
    out: Path
    boxes: tuple[tuple[Box, str], ...]
    settings: CropSettings = DEFAULT


@dataclass
class CropCounts:
    """The number of crops written, the number that existed, and a problem for every image that failed."""

    written: int = 0
    existing: int = 0
    problems: list[Problem] = field(default_factory=list)


def object_crops(root: Path, out: Path, frame: Frame, settings: CropSettings = DEFAULT) -> FrameCrops:
    """The crops of all objects of a frame."""
    boxes = tuple((o.box, crop_path(frame, o.trackid)) for o in frame.objects)
    return FrameCrops(frame.image_file(root), frame, out, boxes, settings)


def write_crops(task: FrameCrops) -> CropCounts:
    """Writes the missing crops of one image. The image is decoded at most once."""
    missing = [(task.settings.window(box), task.out / path) for box, path in task.boxes if _is_missing(task.out / path)]
    counts = CropCounts(existing=len(task.boxes) - len(missing))
    if task.boxes and not missing:
        return counts
    try:
        if other := kind_of_file(task.image):
            raise OSError(f"this is a {other}")
        with Image.open(task.image) as file:
            have, want = f"{file.width}x{file.height}", f"{task.frame.width}x{task.frame.height}"
            if have != want:
                problem = f"the image is {have}, but its annotation says {want}"
                counts.problems.append(Problem(str(task.image), "image of another size than annotated", problem))
                return counts
            if not missing:  # a frame without objects must exist too
                return counts
            file.load()
            image = file if file.mode == "RGB" else file.convert("RGB")  # convert would copy it
    except FileNotFoundError:
        counts.problems.append(Problem(str(task.image), "no JPEG", "no such file"))
        return counts
    except Exception as error:  # damaged data raises OSError, SyntaxError, struct.error, zlib ...
        # The problem already names the image.
        problem = f"cannot be read as an image: {error}".replace(f" {str(task.image)!r}", "")
        counts.problems.append(Problem(str(task.image), "unreadable JPEG", problem))
        return counts
    top = crops if (crops := task.out / CROPS).exists() else task.out  # it may be a link to another disk
    check_inside(top, (path.relative_to(top).as_posix() for _, path in missing), task.out)
    colour = None if all(is_inside(image, window) for window, _ in missing) else mean_colour(image)
    for window, path in missing:
        _save(cut(image, window, task.settings.search, colour), path, task)
        counts.written += 1
    return counts


def _is_missing(path: Path) -> bool:
    """Whether a crop must be written. After a power cut, a file can exist without content."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return True


def _save(image: Image.Image, path: Path, task: FrameCrops) -> None:
    """Writes to a temporary folder and renames: a killed process leaves no incomplete crop."""
    temporary = task.out / PARTIAL / f"{os.getpid()}.jpg"
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(temporary, "JPEG", quality=task.settings.quality)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_all_crops(tasks: Iterable[FrameCrops], workers: int, progress: Callable[[int], None]) -> CropCounts:
    """Writes the crops of many images in `workers` processes. The iterable of tasks may be long and lazy.

    Args:
        progress: called now and then with the number of images done.

    Raises:
        UserError: when a crop cannot be written. An image that cannot be read is one of the `problems`.
    """
    total, done = CropCounts(), 0
    for lot in run_parallel(_write_lot, lots(tasks, _FRAMES_PER_TASK), workers):
        for counts in lot:
            total.written += counts.written
            total.existing += counts.existing
            total.problems += counts.problems
        done += len(lot)
        progress(done)
    return total


def _write_lot(lot: Sequence[FrameCrops]) -> list[CropCounts]:
    return [write_crops(task) for task in lot]
