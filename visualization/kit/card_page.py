"""A page of cards as one HTML file that needs no network, no file beside it and no scripts."""

from html import escape

from visualization.kit.cards import LEGEND, Card, Page, Section, Verdict, box_of
from visualization.kit.colours import RIGHT, WRONG
from visualization.kit.html_page import data_uri, render_notes, render_page
from visualization.kit.printable import shorten
from visualization.kit.thumbnails import as_jpeg

SIDE = 132  # of the square as large as an image is shown, in CSS pixels
_LETTERS = 36  # of a line that is not shortened

_STYLE = f"""
:root {{ color-scheme: light dark; --width: var(--side-x); --height: var(--side-y);
  --ink: #1c1c1c; --faint: #555; --line: #bbb; --paper: #fff; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #ececec; --faint: #b0b0b0; --line: #555; --paper: #191919; }}
}}
@page {{ size: landscape; margin: 10mm; }}
@media print {{
  :root {{ color-scheme: light; --width: calc(var(--side-x) * .6); --height: calc(var(--side-y) * .6);
    --ink: #000; --faint: #444; --line: #bbb; --paper: #fff; }}
  html {{ font-size: 8pt; }} body {{ font-size: 8pt; margin: 0; }} h2 {{ break-after: avoid; }}
}}
* {{ box-sizing: border-box; }}
body {{ font: 14px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1.5rem;
  max-width: none; padding: 0; }}
h2 {{ font-size: 1.1rem; margin: 1.8rem 0 .6rem; }}
.facts th, .facts td {{ text-align: left; padding: .1rem .8rem .1rem 0;
  vertical-align: top; overflow-wrap: anywhere; }}
.facts th {{ font-weight: normal; color: var(--faint); white-space: nowrap; }}
.note {{ color: var(--faint); max-width: 60rem; }}
.row {{ display: flex; gap: .8rem; align-items: flex-start; padding: .6rem 0; border-top: 1px solid var(--line);
  break-inside: avoid; }}
.ranked {{ display: flex; flex-wrap: wrap; gap: .6rem; }}
.table {{ overflow-x: auto; }}
figure {{ margin: 0; flex: none; width: calc(var(--width) + 10px); }}
figure.gap {{ margin-left: 1.2rem; }}
.picture {{ display: flex; align-items: center; justify-content: center; height: calc(var(--height) + 10px);
  border: 1px solid var(--line); overflow: hidden; print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
.picture img {{ max-width: 100%; max-height: 100%; width: 100%; height: 100%; object-fit: contain; }}
.right .picture {{ border: 5px solid {RIGHT}; }} .wrong .picture {{ border: 5px dashed {WRONG}; }}
.query .picture {{ border: 5px double var(--faint); }}
figcaption {{ font-size: .86rem; line-height: 1.3; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }}
figcaption div:first-child {{ font-weight: 600; }}
.mark {{ display: inline-block; width: 1.2em; text-align: center; color: #000; font-weight: bold;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
.right .mark {{ background: {RIGHT}; }} .wrong .mark {{ background: {WRONG}; }}
.legend {{ display: flex; flex-wrap: wrap; gap: .4rem 1.6rem; margin: .8rem 0; }}
.legend i {{ display: inline-block; width: 1.6rem; height: 1.1rem; vertical-align: middle; }}
.legend .right i {{ border: 4px solid {RIGHT}; }} .legend .wrong i {{ border: 4px dashed {WRONG}; }}
"""
_MARKS = {
    Verdict.RIGHT: '<span class="mark" role="img" aria-label="right">✓</span> ',
    Verdict.WRONG: '<span class="mark" role="img" aria-label="wrong">✗</span> ',
}


def render_cards(page: Page) -> str:
    """The page as HTML."""
    width, height = box_of(page, SIDE)
    body = render_notes(page.notes)
    if page.legend:
        right, wrong = LEGEND
        body.append(
            f'<p class="legend"><span class="right"><i></i> {_MARKS[Verdict.RIGHT]}{right}</span>'
            f'<span class="wrong"><i></i> {_MARKS[Verdict.WRONG]}{wrong}</span></p>'
        )
    for section in page.sections:
        body += _section(section)
    style = f"{_STYLE}:root {{ --side-x: {width}px; --side-y: {height}px; }}\n"
    return render_page(page.title, page.facts, body, style)


def _section(section: Section) -> list[str]:
    parts = [f"<h2>{escape(section.heading)}</h2>"] if section.heading else []
    for row in section.rows:
        cards = [_card(card) for card in row]
        if section.columns:
            parts.append(f'<div class="row table">{"".join(cards)}</div>')
        else:
            parts.append(f'<div class="row">{cards[0]}<div class="ranked">{"".join(cards[1:])}</div></div>')
    return parts


def _card(card: Card) -> str:
    if card.picture:
        data = data_uri("image/jpeg", as_jpeg(card.picture))
        picture = f'<img src="{data}" alt="{escape(card.full)}">'
    else:
        picture = "cannot be opened"
    first, *others = [escape(shorten(line, _LETTERS)) for line in card.lines] or [""]
    lines = [_MARKS.get(card.verdict, "") + first, *others]
    kind = card.verdict.value + (" gap" if card.gap else "")
    caption = "".join(f"<div>{line}</div>" for line in lines)
    return (
        f'<figure class="{kind}" title="{escape(card.full)}"><div class="picture">{picture}</div>'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )
