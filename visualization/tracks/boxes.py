"""Draws the frames of a video with their objects in numbered boxes; wrong numbers are marked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataset.vid.annotated_frames import AnnotatedFrame
from runtime.progress import Progress
from visualization.kit.colours import PALETTE, rgb_of
from visualization.tracks.tracking import Box, Tracks

Colour = tuple[int, int, int]
Shown = tuple[int, int, int, int]  # a box as drawn

NUMBER_COLOURS: tuple[Colour, ...] = tuple(rgb_of(colour) for colour in PALETTE[:-1])  # without black
BLACK, WHITE, CAPTION = (0, 0, 0), (255, 255, 255), (34, 34, 34)
# Colours that an animation with few colours must keep.
RESERVED = (*NUMBER_COLOURS, BLACK, WHITE, CAPTION)

LARGEST_SIDE = 4096  # pixels that video players can show

_ENLARGED_TO = 480  # pixels of the longer side, for legible boxes and labels


class State(Enum):
    """Where an object's number comes from."""

    KEPT = "kept"  # its match, or it is one of the first objects
    NEW = "new"  # it has no match
    WRONG = "wrong"  # its match, which is another object


@dataclass(frozen=True)
class Mark:
    """One object: its box in pixels of the frame, which may extend beyond the frame, and its number."""

    box: Box
    number: int
    state: State = State.KEPT


def colour_of(number: int) -> Colour:
    """The colour of object 1, 2, ... Colours repeat; numbers do not."""
    return NUMBER_COLOURS[(number - 1) % len(NUMBER_COLOURS)]


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever has more contrast to the colour (WCAG's relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else WHITE


def fit_size(size: tuple[int, int], width: int) -> tuple[int, int]:
    """The size of a shown frame: at most `width` wide, no side above 4096. Small frames are enlarged.

    The factor is whole: the smallest that makes the longer side 480 pixels, as far as `width` allows.
    """
    share = min(width / size[0], LARGEST_SIDE / size[1])
    if share < 1:
        return max(1, round(size[0] * share)), max(1, round(size[1] * share))
    factor = max(1, min(int(share), -(-_ENLARGED_TO // max(size))))
    return size[0] * factor, size[1] * factor


def draw_frames(frames: Sequence[AnnotatedFrame], tracks: Tracks, width: int) -> Iterator[Image.Image]:
    """Yields each frame with its objects' boxes and numbers, RGB, all of one size, at most `width` pixels wide."""
    states, progress = _states(tracks), Progress("drew", len(frames), "frames")
    legend = "dashed: wrong match" if any(State.WRONG in own for own in states) else ""
    for index, (annotated, numbers) in enumerate(zip(frames, tracks.numbers, strict=True)):
        objects = zip(annotated.frame.objects, numbers, states[index], strict=True)
        marks = [Mark(each.box, number, state) for each, number, state in objects]
        with Image.open(annotated.picture) as file:
            picture = file.convert("RGB")
        caption = f"frame {annotated.frame.name} ({index + 1} of {len(frames)})"
        yield draw_frame(picture, marks, caption, legend, width)
        progress(index + 1)


def _states(tracks: Tracks) -> list[list[State]]:
    """The state of each object; those of the first frame with objects are not new."""
    states = [[State.NEW] * len(own) for own in tracks.numbers]
    first = next(own for own in states if own)
    first[:] = [State.KEPT] * len(first)
    for matching in tracks.matchings:
        right = matching.right
        for pair in matching.pairs:
            states[matching.second][pair[1]] = State.KEPT if pair in right else State.WRONG
    return states


def draw_frame(picture: Image.Image, marks: Sequence[Mark], caption: str, legend: str, width: int) -> Image.Image:
    """A frame with boxes, labels, and a line of text below it. Width and height are even: video codecs need that.

    Args:
        picture: RGB.
        caption, legend: text at the left and, if there is room, at the right.
        width: see `fit_size`.
    """
    w, h = fit_size(picture.size, width)
    scale = w / picture.width, h / picture.height
    shrinks = w < picture.width
    picture = picture.resize((w, h), Image.Resampling.LANCZOS if shrinks else Image.Resampling.NEAREST)
    letters = max(14, min(22, w // 36))
    font, line = ImageFont.load_default(letters), round(letters * 1.7)
    canvas = Image.new("RGB", (w + w % 2, h + line + (h + line) % 2), CAPTION)
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)

    stroke = max(2, round(w / 240))
    boxes = [_inside(mark.box, scale, (w, h), stroke) for mark in marks]
    for mark, box in zip(marks, boxes, strict=True):
        _draw_box(draw, box, mark, stroke)
    taken: list[Shown] = []
    for mark, box in zip(marks, boxes, strict=True):  # after all boxes: no box crosses a label
        _draw_label(draw, box, mark, (w, h), letters, taken)

    draw.text((8, h + line / 2), caption, fill=WHITE, font=font, anchor="lm")
    if font.getlength(caption) + font.getlength(legend) + 32 < w:
        draw.text((w - 8, h + line / 2), legend, fill=WHITE, font=font, anchor="rm")
    return canvas


def _inside(box: Box, scale: tuple[float, float], size: tuple[int, int], stroke: int) -> Shown:
    """The box in shown pixels, cut to the frame, with room for its lines."""
    limit = np.array(size) - 1
    low, high = np.clip(np.reshape(box, (2, 2)) * scale, 0, limit)
    least = np.minimum(6 * stroke, limit)
    tiny = high - low < least  # or outside
    low = np.where(tiny, np.clip((low + high - least) / 2, 0, limit - least), low)
    x0, y0, x1, y1 = np.rint([*low, *np.where(tiny, low + least, high)]).astype(int).tolist()
    return x0, y0, x1, y1


def _draw_box(draw: ImageDraw.ImageDraw, box: Shown, mark: Mark, stroke: int) -> None:
    colour = colour_of(mark.number)
    if mark.state is State.WRONG:  # two lines: dashed outside, the number's colour inside
        _dashed(draw, box, stroke + 1)
        box = _shrunk(box, stroke + 1)
    for edge, inset, width in ((ink_on(colour), 0, stroke + 2), (colour, 1, stroke)):  # visible on any background
        x0, y0, x1, y1 = _shrunk(box, inset)
        if x0 < x1 and y0 < y1:
            draw.rectangle((x0, y0, x1, y1), outline=edge, width=width)


def _shrunk(box: Shown, by: int) -> Shown:
    return box[0] + by, box[1] + by, box[2] - by, box[3] - by


def _dashed(draw: ImageDraw.ImageDraw, box: Shown, stroke: int) -> None:
    """Draws a rectangle's outline in alternating black and white, which is visible on any background."""
    x0, y0, x1, y1 = box
    dash, inside = 4 * stroke, stroke - 1
    draw.rectangle(box, outline=WHITE, width=stroke)
    for start in range(x0, x1, 2 * dash):
        for y in (y0, y1 - inside):
            draw.rectangle((start, y, min(start + dash, x1), y + inside), fill=BLACK)
    for start in range(y0, y1, 2 * dash):
        for x in (x0, x1 - inside):
            draw.rectangle((x, start, x + inside, min(start + dash, y1)), fill=BLACK)


def _draw_label(
    draw: ImageDraw.ImageDraw, box: Shown, mark: Mark, size: tuple[int, int], letters: int, taken: list[Shown]
) -> None:
    """Writes the number on its colour, within the frame, where it hides no other label."""
    font = ImageFont.load_default(letters)
    text = f"{mark.number}" if mark.state is State.KEPT else f"{mark.number}  {mark.state.value}"
    pad = letters // 4
    w, h = round(font.getlength(text) + 2 * pad), round(letters * 1.3)
    x0, y0, x1, y1 = box
    places: list[Shown] = []
    for x, y in ((x0, y0 - h), (x1 - w, y0 - h), (x0, y1), (x1 - w, y1), (x0, y0), (x1 - w, y0), (x0, y1 - h)):
        x, y = min(max(x, 0), max(0, size[0] - w)), min(max(y, 0), max(0, size[1] - h))
        places.append((x, y, x + w, y + h))
    free = [a for a in places if not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in taken)]
    x, y, right, below = (free or places)[0]
    colour = colour_of(mark.number)
    draw.rectangle((x, y, right - 1, below - 1), fill=colour, outline=ink_on(colour))
    draw.text((x + pad, (y + below) / 2), text, fill=ink_on(colour), font=font, anchor="lm")
    taken.append((x, y, right, below))
