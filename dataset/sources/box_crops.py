"""Crops of images to their boxes."""

from pathlib import Path

from PIL import Image

from dataset.formats.writing import whole
from dataset.loading.orientation import stated_by, turned
from runtime.errors import UserError
from runtime.progress import Progress

JPEG = {"quality": 95, "subsampling": 0}  # a crop is compressed a second time: lose as little as possible
SLIP = 5  # pixels

Box = tuple[float, float, float, float]  # x, y, width, height in pixels, x and y from 0


def pixel_box(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in whole pixels, clipped to the image; right and bottom are exclusive.

    Args:
        x, y, width, height: the box, in pixels.
        size: (W, H) of the image.

    Raises:
        ValueError: when the box has no pixel in the image.
    """
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(size[0], round(x + width)), min(size[1], round(y + height))
    if right <= left or bottom <= top:
        raise ValueError(f"the box {x:g} {y:g} {width:g} {height:g} has no pixel in the image of {size[0]}x{size[1]}")
    return left, top, right, bottom


def refuse_boxes_outside(sizes: dict[str, tuple[int, int]], boxes: dict[str, Box], where: Path) -> None:
    """Checks that all boxes are inside their images, before anything is written.

    A box may exceed the border by SLIP pixels, as annotators make such slips; it is clipped later.

    Args:
        sizes: path -> (W, H) of the image.
        where: the folder of the images, for the message.

    Raises:
        UserError: when a box is farther outside, or has no pixel in its image.
    """
    bad: list[str] = []
    for path, size in sizes.items():
        x, y, width, height = boxes[path]
        beyond = max(-x, -y, x + width - size[0], y + height - size[1])
        if beyond > SLIP or width < 1 or height < 1 or x >= size[0] or y >= size[1]:
            bad.append(path)
    if bad:
        (width, height), box = sizes[bad[0]], " ".join(f"{value:g}" for value in boxes[bad[0]])
        first = f"the first: {bad[0]}, {width}x{height}, box {box} (x y width height)"
        remedy = "perhaps the images were resized: use the original ones, or omit --crop"
        raise UserError(f"{where}: {len(bad)} of {len(sizes)} boxes are not inside their images, {first}; {remedy}")


def crop_images(root: Path, paths: list[str], boxes: dict[str, Box], folder: Path) -> None:
    """Writes crops of images below `root` to `folder`, under the same paths; both may be the same folder.

    Raises:
        UserError: for an image that cannot be read, or a box outside its image.
    """
    progress = Progress("cropped", len(paths), "images")
    for done, path in enumerate(paths, start=1):
        try:
            with Image.open(root / path, formats=("JPEG", "PNG")) as image:
                crop, form = image.crop(pixel_box(*boxes[path], image.size)), image.format
                crop = turned(crop, stated_by(image))  # boxes are of the pixels as stored; the copy has no EXIF
        except ValueError as error:
            raise UserError(f"{root / path}: {error}") from error
        except Exception as error:  # damaged data raises errors of many kinds
            reason = str(error) or type(error).__name__
            raise UserError(f"{root / path}: cannot be read ({reason}); replace it or use --skip_broken") from error
        with whole(folder / path) as part:
            crop.save(part, format=form, **(JPEG if form == "JPEG" else {}))
        progress(done)
