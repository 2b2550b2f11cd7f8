"""The content of a page of images: sections of rows of cards. A card is an image in a frame with lines of text.

`render_cards` makes it HTML, `draw_cards` a picture.
"""

import math
from dataclasses import dataclass, field
from enum import Enum
from statistics import median

from PIL import Image


class Verdict(Enum):
    """The frame of a card."""

    QUERY = "query"
    RIGHT = "right"
    WRONG = "wrong"
    PLAIN = "plain"


LEGEND = {
    Verdict.RIGHT: "right: the query's identity (solid frame, tick)",
    Verdict.WRONG: "wrong: another identity (dashed frame, cross)",
}


@dataclass(frozen=True)
class Card:
    """An image with its texts.

    Attributes:
        picture: RGB; None if it cannot be opened.
        lines: texts below it, the first in bold.
        verdict: its frame.
        full: all its names and numbers in full, shown under the pointer.
        gap: a space before it, because the ranking skips images here.
    """

    picture: Image.Image | None
    lines: tuple[str, ...]
    verdict: Verdict = Verdict.PLAIN
    full: str = ""
    gap: bool = False


@dataclass(frozen=True)
class Section:
    """Rows of cards under a heading; with `columns`, the rows are those of a table."""

    heading: str
    rows: list[list[Card]]
    columns: bool = False


@dataclass(frozen=True)
class Page:
    """The whole page.

    Attributes:
        title: the heading.
        intro: what one sees, and what to look for.
        facts: lines of the head by name: where the images come from.
        notes: sentences of the head.
        legend: whether the frames are explained.
    """

    title: str
    intro: str
    facts: dict[str, str]
    notes: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    legend: bool = True


def box_of(page: Page, side: int) -> tuple[int, int]:
    """Width and height of an image on the page: the median shape of its images, with the area of a square.

    Args:
        page: the cards.
        side: side of the square, in pixels.
    """
    cards = [card for section in page.sections for row in section.rows for card in row]
    shapes = [card.picture.width / card.picture.height for card in cards if card.picture]
    shape = min(max(median(shapes), 0.5), 2.0) if shapes else 1.0
    return round(side * math.sqrt(shape)), round(side / math.sqrt(shape))
