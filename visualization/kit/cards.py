"""What a page of images consists of: sections of rows of cards, each an image in a frame with a few lines of text.

`render_cards` writes it as HTML, `draw_cards` draws it.
"""

import math
from dataclasses import dataclass, field
from enum import Enum
from statistics import median

from PIL import Image


class Verdict(Enum):
    """How a card is framed."""

    QUERY = "query"
    RIGHT = "right"
    WRONG = "wrong"
    PLAIN = "plain"


LEGEND = {
    Verdict.RIGHT: "the query's identity: solid frame, tick",
    Verdict.WRONG: "another identity: dashed frame, cross",
}


@dataclass(frozen=True)
class Card:
    """An image and what is said of it.

    Attributes:
        picture: RGB; None for one that cannot be opened.
        lines: of text below it, the first in bold.
        verdict: its frame.
        full: all that is known of it, unabridged.
        gap: set apart from the card before it: what is between them is left out.
    """

    picture: Image.Image | None
    lines: tuple[str, ...]
    verdict: Verdict = Verdict.PLAIN
    full: str = ""
    gap: bool = False


@dataclass(frozen=True)
class Section:
    """Rows of cards under a heading; the cards of rows that are a table (`columns`) stand in columns."""

    heading: str
    rows: list[list[Card]]
    columns: bool = False


@dataclass(frozen=True)
class Page:
    """All of it.

    Attributes:
        title, facts, notes: what the head says: facts by name, notes as sentences.
        legend: explain the frames.
    """

    title: str
    facts: dict[str, str]
    notes: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    legend: bool = True


def box_of(page: Page, side: int) -> tuple[int, int]:
    """Width and height in which the page's images are shown: of their usual shape, with the area of a square.

    Args:
        page: its cards.
        side: of the square, in pixels.
    """
    cards = [card for section in page.sections for row in section.rows for card in row]
    shapes = [card.picture.width / card.picture.height for card in cards if card.picture]
    shape = min(max(median(shapes), 0.5), 2.0) if shapes else 1.0
    return round(side * math.sqrt(shape)), round(side / math.sqrt(shape))
