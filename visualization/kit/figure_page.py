"""Writes a drawn picture to a file: a PNG, or a page around it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from runtime.files import replace_file
from visualization.kit.html_page import render_page
from visualization.kit.plotting import png_of


class Spot(NamedTuple):
    """A box in a picture, in pixels from the top left, that shows a text under the pointer."""

    x: float
    y: float
    width: float
    height: float
    text: str


def write_figure(
    out: Path,
    pixels: np.ndarray,
    *,
    title: str,
    intro: str,
    facts: dict[str, str],
    label: str,
    metrics: Sequence[Sequence[str]],
    notes: Sequence[str],
    spots: Sequence[Spot] = (),
) -> None:
    """Writes it under a temporary name, then renames it.

    Args:
        out: the file. A name that ends in .html gets the page, all others the PNG.
        pixels: (H, W, 3) uint8.
        title: of the page.
        intro: what one sees, and what to look for.
        facts: lines of the page's head, by name.
        label: what the picture shows, for people who do not see it.
        metrics: rows of a table; the first cell of each is its heading.
        notes: sentences at the end.
        spots: boxes with texts.

    Raises:
        UserError: when it cannot be written.
    """
    png = png_of(pixels)
    if out.suffix.lower() != ".html":
        with replace_file(out, "wb") as file:
            file.write(png)
        return
    height, width = pixels.shape[:2]
    page = render_page(
        "kit/figure.html.jinja",
        title=title,
        intro=intro,
        facts=facts,
        png=png,
        width=width,
        height=height,
        label=label,
        metrics=metrics,
        notes=notes,
        spots=spots,
    )
    with replace_file(out) as file:
        file.write(page)
