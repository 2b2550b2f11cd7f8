"""Pages from templates: `*.html.jinja` beside the modules that fill them, each one HTML file that needs no network."""

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from visualization.kit.colours import RIGHT, WRONG
from visualization.kit.printable import printable, shorten


def render_page(template: str, **values: Any) -> str:
    """The page as HTML.

    Args:
        template: its path in `visualization/`. It extends `kit/page.html.jinja`, which wants `title` and `facts`, the
            lines of the head by name.
        **values: what the template shows. Plain text: it is escaped, and made printable.
    """
    return _TEMPLATES.get_template(template).render(values)


def data_uri(data: bytes, kind: str) -> Markup:
    """A file's content as an address, so that the page needs no file beside it."""
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")


def _printable(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1], encoding="utf-8"),
    autoescape=True,
    finalize=_printable,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"data_uri": data_uri, "shorten": shorten}
_TEMPLATES.globals |= {"RIGHT": RIGHT, "WRONG": WRONG}
