"""Draws pictures of a batch for TensorBoard, with Pillow (docs/design.md says why)."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from model.training.batch_statistics import Triplet

# Green and vermilion, which colour-blind readers can distinguish (Okabe & Ito). The words repeat the information.
_RIGHT, _WRONG, _NEUTRAL, _INK = "#009e73", "#d55e00", "#6e6e6e", "#191919"
_WIDTH = 96  # smallest width of an image in pixels: its text must fit
_FONT, _LINE, _FRAME, _GAP = 13, 19, 3, 6


def batch_picture(images: np.ndarray, batch_k: int) -> np.ndarray:
    """One picture of a PK batch, one column per identity: (P * K, H, W, C) -> (K * H', P * W', C)."""
    gap = max(1, images.shape[2] // 32)  # a grey frame separates neighbours
    images = np.pad(images, [(0, 0), (gap, gap), (gap, gap), (0, 0)], constant_values=128)
    batch_p, (_, height, width, channels) = len(images) // batch_k, images.shape
    grid = images.reshape(batch_p, batch_k, height, width, channels).transpose(1, 2, 0, 3, 4)
    return grid.reshape(batch_k * height, batch_p * width, channels)


def triplets_picture(images: np.ndarray, triplets: Sequence[Triplet]) -> np.ndarray:
    """A picture with one row per triplet: anchor, positive, negative, and the distances to the anchor below.

    A triplet with the positive nearer than the negative has green frames and the word "right", any other vermilion
    frames and "wrong". Small images are enlarged by a whole factor, without smoothing.

    Args:
        images: (B, H, W, C) uint8, C = 1 or 3.
        triplets: as `hardest_triplets` returns them; if empty, the picture has only headings.

    Returns:
        (H', W', 3) uint8.
    """
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    factor = -(-_WIDTH // images.shape[2])
    height, width = images.shape[1] * factor, images.shape[2] * factor
    column, row = width + 2 * _FRAME + _GAP, height + 2 * _FRAME + _LINE + _GAP
    picture = Image.new("RGB", (3 * column + _GAP, len(triplets) * row + _LINE + _GAP), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT)

    def write(text: str, place: int, y: int, colour: str) -> None:
        middle = _GAP + place * column + _FRAME + width / 2
        draw.text((middle, y + _LINE / 2), text, fill=colour, font=font, anchor="mm")

    for place, heading in enumerate(("anchor", "positive", "negative")):
        write(heading, place, _GAP // 2, _INK)
    for y, triplet in zip(range(_LINE + _GAP, picture.height, row), triplets, strict=True):
        colour, word = (_RIGHT, "right") if triplet.d_ap < triplet.d_an else (_WRONG, "wrong")
        cells = [
            (triplet.anchor, _NEUTRAL, f"no. {triplet.anchor}"),
            (triplet.positive, colour, f"{triplet.d_ap:.4g}"),
            (triplet.negative, colour, f"{triplet.d_an:.4g} {word}"),
        ]
        for place, (index, frame, text) in enumerate(cells):
            image = Image.fromarray(images[index]).resize((width, height), Image.Resampling.NEAREST)
            picture.paste(ImageOps.expand(image, _FRAME, frame), (_GAP + place * column, y))
            write(text, place, y + height + 2 * _FRAME, frame)
    return np.asarray(picture)
