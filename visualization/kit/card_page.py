"""Writes a page of cards to a file: HTML or PNG, by the ending of its name."""

from pathlib import Path

from runtime.files import replace_file
from visualization.kit.card_picture import draw_cards
from visualization.kit.cards import LEGEND, Page, box_of
from visualization.kit.html_page import render_page
from visualization.kit.thumbnails import as_jpeg

SIDE = 132  # of the square as large as an image is shown, in CSS pixels
_LETTERS = 36  # of a line that is not shortened


def write_cards(page: Page, out: Path) -> None:
    """Writes it under a temporary name, then renames it.

    Raises:
        UserError: when it cannot be written, or would be too large a picture.
    """
    if out.suffix.lower() == ".png":
        picture = draw_cards(page)
        with replace_file(out, "wb") as file:
            picture.save(file, "PNG")
    else:
        text = render_cards(page)
        with replace_file(out) as file:
            file.write(text)


def render_cards(page: Page) -> str:
    """The page as HTML."""
    width, height = box_of(page, SIDE)
    return render_page(
        "kit/cards.html.jinja",
        title=page.title,
        facts=page.facts,
        page=page,
        width=width,
        height=height,
        legend=LEGEND,
        letters=_LETTERS,
        as_jpeg=as_jpeg,
    )
