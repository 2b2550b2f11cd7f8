"""A page of cards in a file: HTML, or one picture, a grid of images with words below.

The picture is drawn by Pillow; docs/design.md says why.
"""

import functools
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont, ImageOps

from runtime.errors import UserError
from runtime.files import replace_file
from visualization.kit.cards import LEGEND, Card, Page, Verdict, box_of
from visualization.kit.colours import RIGHT, WRONG
from visualization.kit.html_page import render_page
from visualization.kit.printable import printable, shorten
from visualization.kit.thumbnails import as_jpeg

SIDE = 120  # of the square as large as an image is shown in a picture, in pixels
_PAGE_SIDE = 132  # the same of HTML, in CSS pixels
_LETTERS = 36  # of a line of HTML that is not shortened
_PAPER, _INK, _FAINT, _EMPTY = "#ffffff", "#1c1c1c", "#555555", "#e4e4e4"
_MARGIN, _GAP, _FRAME, _APART, _LINE = 16, 10, 5, 18, 17
_LEAST_WIDTH, _QUERY_WIDTH, _PAGE_WIDTH = 140, 196, 640  # of texts
_MOST_PIXELS = 2**28  # of a picture that viewers open
_MARKS = {Verdict.RIGHT: ("✓", RIGHT), Verdict.WRONG: ("✗", WRONG)}


def write_cards(page: Page, out: Path) -> None:
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


def render_cards(page: Page) -> str:
    """The page as HTML."""
    width, height = box_of(page, _PAGE_SIDE)
    return render_page(
        "kit/cards.html.jinja",
        title=page.title,
        facts=page.facts,
        page=page,
        width=width,
        height=height,
        legend=LEGEND,
        letters=_LETTERS,
        as_jpeg=as_jpeg,
    )


def draw_cards(page: Page, side: int = SIDE) -> Image.Image:
    """The page as an RGB picture.

    Args:
        page: what to draw.
        side: of the square as large as an image is shown, in pixels.

    Raises:
        UserError: when it would become too large to be opened.
    """
    box = box_of(page, side)
    rows = [row for section in page.sections for row in section.rows]
    inner = max([_PAGE_WIDTH, *(sum(_width(card, box) + _APART * card.gap for card in row) for row in rows)])
    title, plain, bold = font_of(20, bold=True), font_of(13), font_of(13, bold=True)
    head = [(line, title, _INK) for line in wrap(page.title, title, inner)]
    facts = "   ".join(f"{name}: {value};" for name, value in page.facts.items()).rstrip(";")
    for text in (facts, *page.notes):
        head += [(line, plain, _FAINT) for line in wrap(text, plain, inner)]
    headings = sum(bool(section.heading) for section in page.sections)
    lines = sum(round(font.size) + 6 for _, font, _ in head) + 2 * _LINE * (page.legend + headings)
    size = inner + 2 * _MARGIN, 2 * _MARGIN + lines + sum(_height(row, box) for row in rows)
    if size[0] * size[1] > _MOST_PIXELS:
        raise UserError(
            f"a picture of {size[0]:,} x {size[1]:,} pixels could not be opened: show fewer images, or make it "
            "a page (.html)"
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
    return box[1] + 2 * _FRAME + 4 + max(len(card.lines) for card in row) * _LINE + _GAP


def _draw_legend(draw: ImageDraw.ImageDraw, y: int) -> None:
    x = _MARGIN
    for verdict, text in LEGEND.items():
        _draw_frame(draw, verdict, (x, y - 1, x + 29, y + 17))
        _draw_mark(draw, verdict, x + 38, y)
        draw.text((x + 60, y), text, fill=_INK, font=font_of(13))
        x += 90 + round(font_of(13).getlength(text))


def _draw_card(card: Card, box: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """The card alone: its image centred in a box, in a frame, above its lines."""
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
    for number, line in enumerate(card.lines):
        x, font = 0, font_of(13, bold=number == 0)
        if number == 0 and card.verdict in _MARKS:
            _draw_mark(draw, card.verdict, x, y)
            x = 21
        draw.text((x, y), fit(line, font, size[0] - x), fill=_FAINT if number > 1 else _INK, font=font)
        y += _LINE
    return cell


def _draw_frame(draw: ImageDraw.ImageDraw, verdict: Verdict, box: tuple[int, int, int, int]) -> None:
    """Solid for right, dashed for wrong, a thin double line for a query, a hair for the rest; nothing is inside yet."""
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
    """DejaVu Sans, which matplotlib brings along: Latin, Greek, Cyrillic and more."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size)


def fit(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text on one line, its middle left out as far as it is wider than `width` pixels."""
    text = " ".join(printable(text).split())
    letters = len(text)
    while letters > 1 and font.getlength(shorten(text, letters)) > width:
        letters -= 1
    return shorten(text, letters)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines no wider than `width` pixels, broken at spaces; a longer word is shortened."""
    lines: list[str] = []
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(fit(word, font, width))
    return lines
