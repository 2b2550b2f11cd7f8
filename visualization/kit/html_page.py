"""What all pages share: one HTML file that needs no network and no file beside it, with facts at its head."""

import base64
from collections.abc import Iterable
from html import escape

from visualization.kit.printable import printable

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 70rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; } th, td { padding: .3rem .6rem; text-align: left; vertical-align: middle; }
.facts th { font-weight: normal; color: #555; } .facts td { overflow-wrap: anywhere; }
.figures th, .figures td { border-bottom: 1px solid #ccc; }
.note { color: #555; }
"""


def render_page(
    title: str, facts: dict[str, str], body: Iterable[str], style: str, *, heading: str | None = None, head: str = ""
) -> str:
    """The page.

    Args:
        title: plain text, as the facts.
        facts: what the head says, by name.
        body: HTML below the facts, part by part.
        style: CSS of this page, after what all pages share.
        heading: plain text in place of the title above the facts.
        head: HTML for the `<head>`.
    """
    rows = [f'<tr><th scope="row">{to_html(name)}</th><td>{to_html(value)}</td></tr>' for name, value in facts.items()]
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{to_html(title)}</title>',
            *([head] if head else []),
            '<meta name="viewport" content="width=device-width">',
            f"<style>{_STYLE}{style}</style></head>\n<body>",
            f"<h1>{to_html(heading or title)}</h1>",
            '<table class="facts">',
            *rows,
            "</table>",
            *body,
            "</body>\n</html>\n",
        ]
    )


def to_html(words: str) -> str:
    """Plain text as HTML."""
    return escape(printable(words))


def render_notes(notes: Iterable[str]) -> list[str]:
    """A paragraph for each note, plain text."""
    return [f'<p class="note">{to_html(note)}</p>' for note in notes]


def data_uri(kind: str, data: bytes) -> str:
    """A file's content as an address, so that the page needs no file beside it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
