"""Writes a drawn figure to a file: PNG, or a page around it, by the ending of its name."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from runtime.files import replace_file
from visualization.kit.html_page import render_page
from visualization.kit.plotting import png_of


class Spot(NamedTuple):
    """A box of a figure, in pixels from the top left, in which the pointer finds a text."""

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
    facts: dict[str, str],
    label: str,
    metrics: Sequence[Sequence[str]],
    notes: Sequence[str],
    spots: Sequence[Spot] = (),
) -> None:
    """Writes it under a temporary name, then renames it.

    Args:
        out: the file; one that ends in .html gets the page, of plain text but for the figure.
        pixels: (H, W, 3) uint8.
        title: of the page.
        facts: what its head says, by name.
        label: what the figure shows, for those who do not see it.
        metrics: rows of a table whose first column are headings.
        notes: sentences at the end.
        spots: boxes that say something.

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
