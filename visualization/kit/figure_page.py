"""A page around one picture: where it comes from, its numbers, and what they mean. It needs no network."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from runtime.files import replace_file

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 70rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .6rem; text-align: left; vertical-align: top; }
.facts th { font-weight: normal; color: #555; } td { overflow-wrap: anywhere; }
.figures th, .figures td { border-bottom: 1px solid #ccc; }
.picture, .picture svg { max-width: 100%; height: auto; }
.note { color: #555; }
@media print { body { margin: 0; max-width: none; } .picture { break-inside: avoid; } }
"""


def figure_page(
    title: str, facts: dict[str, str], picture: str, figures: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """The page as HTML.

    Args:
        title: of the page, plain text as everything but `picture`.
        facts: what the head says, by name.
        picture: an `<img>` or `<svg>` with all that it shows in it.
        figures: rows of a table whose first column are headings.
        notes: sentences at the end.
    """
    rows = ["".join(f"<td>{escape(cell)}</td>" for cell in cells) for _, *cells in figures]
    heads = [f'<th scope="row">{escape(row[0])}</th>' for row in figures]
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>',
            f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style></head>\n<body>',
            f"<h1>{escape(title)}</h1>",
            '<table class="facts">',
            *(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in facts.items()),
            "</table>",
            f'<div class="picture">{picture}</div>',
            "<h2>Figures</h2>",
            '<table class="figures">',
            *(f"<tr>{head}{row}</tr>" for head, row in zip(heads, rows, strict=True)),
            "</table>",
            *(f'<p class="note">{escape(note)}</p>' for note in notes),
            "</body>\n</html>\n",
        ]
    )


def write_page(out: Path, page: str) -> None:
    """Writes the page; it is whole or not there."""
    with replace_file(out) as file:
        file.write(page)


def write_png(out: Path, data: bytes) -> None:
    """Writes a PNG file; it is whole or not there."""
    with replace_file(out, "wb") as file:
        file.write(data)
