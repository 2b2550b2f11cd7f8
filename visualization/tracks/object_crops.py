"""The crops of a video's objects, made as for training."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from dataset.vid.annotated_frames import AnnotatedFrame
from dataset.vid.siamfc_crops import CONTEXT_AMOUNT, JPEG_QUALITY, crop_window, cut, mean_colour


def write_object_crops(
    frames: Sequence[AnnotatedFrame],
    folder: Path,
    context: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[list[str]]:
    """Cuts all objects out of their frames and writes them as JPEG files.

    Args:
        context: margin around a box as a share of its width and height together; None as for training.
        progress: called with the number of frames done after each.

    Returns:
        The objects' files, a list per frame.
    """
    context = CONTEXT_AMOUNT if context is None else context
    files: list[list[str]] = []
    for number, annotated in enumerate(frames):
        files.append([])
        if annotated.frame.objects:
            with Image.open(annotated.picture) as file:
                image = file.convert("RGB")
            colour = mean_colour(image)
            for place, obj in enumerate(annotated.frame.objects):
                path = folder / f"{number}.{place}.jpg"
                cut(image, crop_window(obj.box, context), colour=colour).save(path, quality=JPEG_QUALITY)
                files[-1].append(str(path))
        progress(number + 1)
    return files
