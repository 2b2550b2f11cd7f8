"""Cuts images to a box each."""

from pathlib import Path

from PIL import Image

from dataset.errors import UserError
from dataset.progress import Progress

JPEG = {"quality": 95, "subsampling": 0}  # a crop is compressed a second time: as little as possible is lost


def pixel_box(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in whole pixels, right and bottom exclusive, cut off at the image's border.

    Args:
        x, y, width, height: of the box, in pixels.
        size: (W, H) of the image.

    Raises:
        ValueError: when no pixel is left.
    """
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(size[0], round(x + width)), min(size[1], round(y + height))
    if right <= left or bottom <= top:
        raise ValueError(f"the box {x:g} {y:g} {width:g} {height:g} has no pixel of an image of {size[0]}x{size[1]}")
    return left, top, right, bottom


def crop_images(root: Path, folder: Path, boxes: dict[str, tuple[float, float, float, float]]) -> None:
    """Writes the crop of every image to `folder`, under the path that it has in `root`.

    Args:
        boxes: path -> x, y, width, height.

    Raises:
        UserError: for an image that cannot be read or a box outside of it.
    """
    progress = Progress("cropped", len(boxes), "images")
    for done, (path, box) in enumerate(boxes.items(), start=1):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        try:
            with Image.open(root / path, formats=("JPEG", "PNG")) as image:
                crop, form = image.crop(pixel_box(*box, image.size)), image.format
        except ValueError as error:
            raise UserError(f"{root / path}: {error}") from error
        except Exception as error:  # damaged data reaches Pillow's decoders as errors of many sorts
            reason = str(error) or type(error).__name__
            raise UserError(f"{root / path}: cannot be read ({reason}); repair it or use --skip_broken") from error
        crop.save(part, format=form, **(JPEG if form == "JPEG" else {}))
        part.replace(target)
        progress(done)
