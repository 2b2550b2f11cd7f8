"""Writes a page of cards to a file: HTML or PNG, by the ending of its name."""

from pathlib import Path

from runtime.files import replace_file
from visualization.kit.card_page import render_cards
from visualization.kit.card_picture import draw_cards
from visualization.kit.cards import Page


def write_page(page: Page, out: Path) -> None:
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
