"""A page around one picture: where it comes from, its numbers, and what they mean. It needs no network."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from runtime.files import replace_file
from visualization.kit.html_page import render_notes, render_page, to_html
from visualization.kit.plotting import png_of

_STYLE = """
h2 { margin: 1.6rem 0 .4rem; } th, td { padding: .25rem .6rem; vertical-align: top; } td { overflow-wrap: anywhere; }
.picture, .picture svg { max-width: 100%; height: auto; }
@media print { body { margin: 0; max-width: none; } .picture { break-inside: avoid; } }
"""


def render_figure_page(
    title: str, facts: dict[str, str], picture: str, metrics: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """The page as HTML.

    Args:
        title: of the page, plain text as everything but `picture`.
        facts: what the head says, by name.
        picture: an `<img>` or `<svg>` with all that it shows in it.
        metrics: rows of a table whose first column are headings.
        notes: sentences at the end.
    """
    rows = ["".join(f"<td>{to_html(cell)}</td>" for cell in cells) for _, *cells in metrics]
    heads = [f'<th scope="row">{to_html(row[0])}</th>' for row in metrics]
    body = [
        f'<div class="picture">{picture}</div>',
        "<h2>Figures</h2>",
        '<table class="figures">',
        *(f"<tr>{head}{row}</tr>" for head, row in zip(heads, rows, strict=True)),
        "</table>",
        *render_notes(notes),
    ]
    return render_page(title, facts, body, _STYLE)


def write_figure(out: Path, pixels: np.ndarray, page: Callable[[], str]) -> None:
    """Writes a drawn figure (H, W, 3) uint8: as a PNG file, or where `out` ends in .html the page that shows it."""
    if out.suffix.lower() == ".html":
        with replace_file(out) as file:
            file.write(page())
    else:
        with replace_file(out, "wb") as file:
            file.write(png_of(pixels))
