"""Renders pages from templates, `*.html.jinja` next to the modules that fill them: HTML files that work offline."""

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runtime.printable import parts_of, printable, printable_lines, shorten
from visualization.kit.colours import BAR, DARK_BAR, RIGHT, WRONG


def render_page(template: str, *, title: str, intro: str, facts: dict[str, str], **values: Any) -> str:
    """The page as HTML. All texts are plain: they are escaped and made printable.

    Args:
        template: its path in `visualization/`. It extends `kit/page.html.jinja`.
        title: the heading.
        intro: a sentence or two below it: what one sees, and what to look for.
        facts: lines of the head by name: where the data come from.
        **values: what the template shows.
    """
    return _TEMPLATES.get_template(template).render(values, title=title, intro=intro, facts=facts)


def data_uri(data: bytes, kind: str) -> Markup:
    """A file's content as an address: the page needs no other file."""
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")


def breakable(name: Any) -> Markup:
    """A name whose lines may end at its separators, and not in the middle of a word."""
    return Markup("<wbr>").join(parts_of(printable(str(name))))


def _printable(value: Any) -> Any:
    """Plain text, in which newlines stay: HTML shows them as blanks."""
    plain = isinstance(value, str) and not isinstance(value, Markup)
    return printable_lines(value) if plain else value


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1], encoding="utf-8"),
    autoescape=True,
    finalize=_printable,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"breakable": breakable, "data_uri": data_uri, "shorten": shorten}
_TEMPLATES.globals |= {"BAR": BAR, "DARK_BAR": DARK_BAR, "RIGHT": RIGHT, "WRONG": WRONG}
