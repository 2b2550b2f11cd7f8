"""Pictures of a batch for TensorBoard."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.training.batch_statistics import Triplet

# Green and vermilion that the colour-blind tell apart (Okabe & Ito); the words below say the same.
_RIGHT, _WRONG, _NEUTRAL = (0, 158, 115), (213, 94, 0), (110, 110, 110)
_PAPER, _INK = (255, 255, 255), (25, 25, 25)
_WIDTH = 96  # pixels that an image must have for the text beside it
_FONT, _LINE, _FRAME, _GAP = 13, 19, 3, 6


def batch_picture(images: np.ndarray, batch_k: int) -> np.ndarray:
    """The images of a PK batch as one picture, a column per identity: (P * K, H, W, C) -> (K * H', P * W', C)."""
    gap = max(1, images.shape[2] // 32)  # a grey frame, so that neighbours can be told apart
    images = np.pad(images, [(0, 0), (gap, gap), (gap, gap), (0, 0)], constant_values=128)
    batch_p, (_, height, width, channels) = len(images) // batch_k, images.shape
    grid = images.reshape(batch_p, batch_k, height, width, channels).transpose(1, 2, 0, 3, 4)
    return grid.reshape(batch_k * height, batch_p * width, channels)


def triplets_picture(images: np.ndarray, triplets: Sequence[Triplet]) -> np.ndarray:
    """A row per triplet: anchor, positive, negative, with the distances to the anchor under them.

    Where the positive is nearer than the negative, the frames are green and the word is "right", else vermilion and
    "wrong". Small images are enlarged by a whole factor, without smoothing.

    Args:
        images: (B, H, W, C) uint8, C = 1 or 3.
        triplets: as `hardest_triplets` gives them; without any, the picture has headings only.

    Returns:
        (H', W', 3) uint8.
    """
    height, width = images.shape[1:3]
    factor = -(-_WIDTH // width)
    height, width = height * factor, width * factor
    column, row = width + 2 * _FRAME + _GAP, height + 2 * _FRAME + _LINE + _GAP
    picture = Image.new("RGB", (3 * column + _GAP, len(triplets) * row + _LINE + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT)

    def write(text: str, place: int, y: int, colour: tuple[int, int, int]) -> None:
        middle = _GAP + place * column + _FRAME + width / 2
        draw.text((middle, y + _LINE / 2), text, fill=colour, font=font, anchor="mm")

    for place, heading in enumerate(("anchor", "positive", "negative")):
        write(heading, place, _GAP // 2, _INK)
    for number, triplet in enumerate(triplets):
        right = triplet.d_ap < triplet.d_an
        verdict = _RIGHT if right else _WRONG
        y = _LINE + _GAP + number * row
        for place, index in enumerate((triplet.anchor, triplet.positive, triplet.negative)):
            x, colour = _GAP + place * column, verdict if place else _NEUTRAL
            draw.rectangle([x, y, x + width + 2 * _FRAME - 1, y + height + 2 * _FRAME - 1], fill=colour)
            pixels = np.repeat(np.repeat(images[index], factor, axis=0), factor, axis=1)
            pixels = np.broadcast_to(pixels, (height, width, 3)) if pixels.shape[2] == 1 else pixels
            picture.paste(Image.fromarray(np.ascontiguousarray(pixels)), (x + _FRAME, y + _FRAME))
        below = y + height + 2 * _FRAME
        write(f"no. {triplet.anchor}", 0, below, _NEUTRAL)
        write(f"{triplet.d_ap:.4g}", 1, below, verdict)
        write(f"{triplet.d_an:.4g} {'right' if right else 'wrong'}", 2, below, verdict)
    return np.asarray(picture)
