"""Writes a page of cards to a file: HTML, or one picture, a grid of images with texts below.

Pillow draws the picture; docs/design.md says why.
"""

import functools
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont, ImageOps

from runtime.errors import UserError
from runtime.files import replace_file
from runtime.printable import parts_of, printable, shorten
from visualization.kit.cards import LEGEND, Card, Page, Verdict, box_of
from visualization.kit.colours import RIGHT, WRONG
from visualization.kit.html_page import render_page
from visualization.kit.thumbnails import as_jpeg

SIDE = 120  # pixels: an image in a picture has the area of a square of this side
_PAGE_SIDE = 132  # the same in HTML, in CSS pixels
_LETTERS = 60  # longest line of HTML that is not shortened
_MANY = 1000  # images of a page that are opened when they are scrolled to
_LINES = 3  # most lines of a name in a picture
_PAPER, _INK, _FAINT, _EMPTY = "#ffffff", "#1c1c1c", "#555555", "#e4e4e4"
_MARGIN, _GAP, _FRAME, _APART, _LINE = 16, 10, 5, 18, 17
_LEAST_WIDTH, _QUERY_WIDTH, _PAGE_WIDTH = 140, 196, 640  # pixels of texts
_MOST_PIXELS = 2**28  # viewers may not open a larger picture
_MARKS = {Verdict.RIGHT: ("✓", RIGHT), Verdict.WRONG: ("✗", WRONG)}


def write_cards(page: Page, out: Path) -> None:
    """Writes the page under a temporary name, then renames it.

    Raises:
        UserError: when it cannot be written, or the picture would be too large.
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
    width, height = box_of(page, _PAGE_SIDE)
    return render_page(
        "kit/cards.html.jinja",
        title=page.title,
        intro=page.intro,
        facts=page.facts,
        page=page,
        width=width,
        height=height,
        legend=LEGEND,
        letters=_LETTERS,
        many=sum(len(row) for section in page.sections for row in section.rows) > _MANY,
        as_jpeg=as_jpeg,
    )


def draw_cards(page: Page, side: int = SIDE) -> Image.Image:
    """The page as an RGB picture.

    Args:
        page: what to draw.
        side: pixels; an image has the area of a square of this side.

    Raises:
        UserError: when the picture would be too large to open.
    """
    box = box_of(page, side)
    rows = [row for section in page.sections for row in section.rows]
    inner = max([_PAGE_WIDTH, *(sum(_width(card, box) + _APART * card.gap for card in row) for row in rows)])
    title, plain, bold = font_of(20, bold=True), font_of(13), font_of(13, bold=True)
    head = [(line, title, _INK) for line in wrap(page.title, title, inner)]
    facts = "   ".join(f"{name}: {value};" for name, value in page.facts.items()).rstrip(";")
    for text in (page.intro, facts, *page.notes):
        head += [(line, plain, _FAINT) for line in wrap(text, plain, inner)]
    headings = sum(bool(section.heading) for section in page.sections)
    lines = sum(round(font.size) + 6 for _, font, _ in head) + 2 * _LINE * (page.legend + headings)
    size = inner + 2 * _MARGIN, 2 * _MARGIN + lines + sum(_height(row, box) for row in rows)
    if size[0] * size[1] > _MOST_PIXELS:
        raise UserError(
            f"a picture of {size[0]:,} x {size[1]:,} pixels is too large to open: show fewer images, or write a page "
            "(.html)"
        )

    picture = Image.new("RGB", size, _PAPER)
    draw, y = ImageDraw.Draw(picture), _MARGIN
    for text, font, colour in head:
        draw.text((_MARGIN, y), text, fill=colour, font=font)
        y += round(font.size) + 6
    if page.legend:
        _draw_legend(draw, y + _LINE // 2)
        y += 2 * _LINE
    for section in page.sections:
        if section.heading:
            draw.text((_MARGIN, y + _LINE // 2), fit(section.heading, bold, inner), fill=_INK, font=bold)
            y += 2 * _LINE
        for row in section.rows:
            x, height = _MARGIN, _height(row, box)
            for card in row:
                x += _APART * card.gap
                width = _width(card, box)
                picture.paste(_draw_card(card, box, (width - _GAP, height)), (x, y))
                x += width
            y += height
    return picture


def _width(card: Card, box: tuple[int, int]) -> int:
    return max(box[0] + 2 * _FRAME, _QUERY_WIDTH if card.verdict is Verdict.QUERY else _LEAST_WIDTH) + _GAP


def _height(row: list[Card], box: tuple[int, int]) -> int:
    return box[1] + 2 * _FRAME + 4 + max(len(_lines_of(card, _width(card, box) - _GAP)) for card in row) * _LINE + _GAP


def _lines_of(card: Card, width: int) -> list[tuple[str, ImageFont.FreeTypeFont, str, int]]:
    """Lines of text below the image: text, font, colour, distance from the left. Long names take several lines."""
    lines = []
    for number, text in enumerate(card.lines):
        font, colour = font_of(13, bold=number == 0), _FAINT if number > 1 else _INK
        left = 21 if number == 0 and card.verdict in _MARKS else 0
        lines += [(line, font, colour, left) for line in wrap(text, font, width - left, _LINES) or [""]]
    return lines


def _draw_legend(draw: ImageDraw.ImageDraw, y: int) -> None:
    x = _MARGIN
    for verdict, text in LEGEND.items():
        _draw_frame(draw, verdict, (x, y - 1, x + 29, y + 17))
        _draw_mark(draw, verdict, x + 38, y)
        draw.text((x + 60, y), text, fill=_INK, font=font_of(13))
        x += 90 + round(font_of(13).getlength(text))


def _draw_card(card: Card, box: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """The card alone: its image centred in a frame, above its texts."""
    cell = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(cell)
    _draw_frame(draw, card.verdict, (0, 0, box[0] + 2 * _FRAME - 1, box[1] + 2 * _FRAME - 1))
    if card.picture:
        shrinks = card.picture.width > box[0] or card.picture.height > box[1]
        kind = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
        cell.paste(ImageOps.pad(card.picture, box, kind, _PAPER), (_FRAME, _FRAME))
    else:
        cell.paste(_EMPTY, (_FRAME, _FRAME, _FRAME + box[0], _FRAME + box[1]))
        middle = _FRAME + box[0] / 2, _FRAME + box[1] / 2
        draw.text(middle, "cannot\nbe\nopened", fill=_INK, font=font_of(13), anchor="mm", align="center")
    y = box[1] + 2 * _FRAME + 4
    if card.lines and card.verdict in _MARKS:
        _draw_mark(draw, card.verdict, 0, y)
    for text, font, colour, left in _lines_of(card, size[0]):
        draw.text((left, y), text, fill=colour, font=font)
        y += _LINE
    return cell


def _draw_frame(draw: ImageDraw.ImageDraw, verdict: Verdict, box: tuple[int, int, int, int]) -> None:
    """Solid for right, dashed for wrong, a thin double line for a query, a hairline for the rest; drawn first."""
    x0, y0, x1, y1 = box
    if verdict in _MARKS:
        draw.rectangle(box, outline=_MARKS[verdict][1], width=_FRAME)
    else:
        draw.rectangle(box, outline=_INK if verdict is Verdict.QUERY else "#bbbbbb")
    if verdict is Verdict.QUERY:
        draw.rectangle((x0 + 3, y0 + 3, x1 - 3, y1 - 3), outline=_INK)
    elif verdict is Verdict.WRONG:
        for x in range(x0 + 2 * _FRAME, x1 - 2 * _FRAME, 3 * _FRAME):
            draw.rectangle((x, y0, x + _FRAME, y1), fill=_PAPER)
        for y in range(y0 + 2 * _FRAME, y1 - 2 * _FRAME, 3 * _FRAME):
            draw.rectangle((x0, y, x1, y + _FRAME), fill=_PAPER)


def _draw_mark(draw: ImageDraw.ImageDraw, verdict: Verdict, x: int, y: int) -> None:
    """A tick or a cross on its colour, 16 pixels wide."""
    sign, colour = _MARKS[verdict]
    draw.rectangle((x, y, x + 15, y + 15), fill=colour)
    draw.text((x + 8, y + 8), sign, fill="#000000", font=font_of(13, bold=True), anchor="mm")


@functools.cache
def font_of(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with Matplotlib: Latin, Greek, Cyrillic and more."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size)


def fit(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text on one line of at most `width` pixels, its middle cut out where it is longer."""
    text = printable(" ".join(text.split()))
    letters = len(text)
    while letters > 1 and font.getlength(shorten(text, letters)) > width:
        letters -= 1
    return shorten(text, letters)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float, most: int | None = None) -> list[str]:
    """Lines no wider than `width` pixels, broken at spaces and at the separators of names.

    Args:
        text: words or a name.
        font: their font.
        width: pixels of a line.
        most: number of lines; a longer text loses its middle.
    """
    text = printable(" ".join(text.split()))
    letters = len(text)
    lines = _broken(text, font, width)
    while most is not None and len(lines) > most:
        letters -= 1
        lines = _broken(shorten(text, letters, letters // 3), font, width)
    return lines


def _broken(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    for part in parts_of(text):
        longer = lines[-1] + part if lines else part
        if lines and font.getlength(longer.rstrip()) <= width:
            lines[-1] = longer
        else:
            lines.append(fit(part, font, width) + " " * part.endswith(" "))
    return [line.rstrip() for line in lines if line.strip()]
