"""A page of cards as one picture, drawn by Pillow."""

from PIL import Image, ImageDraw

from runtime.errors import UserError
from visualization.kit.cards import LEGEND, Card, Page, Verdict, box_of
from visualization.kit.colours import RIGHT, WRONG
from visualization.kit.lettering import fit, font_of, wrap

SIDE = 120  # of the square as large as an image is shown, in pixels
_PAPER, _INK, _FAINT, _EMPTY = "#ffffff", "#1c1c1c", "#555555", "#e4e4e4"
_MARGIN, _GAP, _FRAME, _APART = 16, 10, 5, 18
_TEXT, _LINE = 13, 17
_LEAST_WIDTH, _QUERY_WIDTH, _PAGE_WIDTH = 128, 196, 640  # of texts
_MOST_PIXELS = 2**28  # of a picture that viewers open


def draw_cards(page: Page, side: int = SIDE) -> Image.Image:
    """The page as an RGB picture.

    Args:
        page: what to draw.
        side: of the square as large as an image is shown, in pixels.

    Raises:
        UserError: when it would become too large to be opened.
    """
    return _Drawing(page, side).picture


class _Drawing:
    """Finds out how large the picture becomes, and draws it."""

    def __init__(self, page: Page, side: int) -> None:
        self._page, self._box = page, box_of(page, side)
        self._font, self._bold = font_of(_TEXT), font_of(_TEXT, bold=True)
        rows = [(section.columns, row) for section in page.sections for row in section.rows]
        widths = [sum(self._width(card) + self._before(card, i) for i, card in enumerate(row)) for _, row in rows]
        inner = max([_PAGE_WIDTH, *widths])
        head = self._head(inner)
        height = 2 * _MARGIN + sum(line for *_, line in head) + (_LINE + _GAP if page.legend else 0)
        for section in page.sections:
            height += (2 * _LINE + _GAP if section.heading else 0) + sum(self._height(row) for row in section.rows)
        size = inner + 2 * _MARGIN, height
        if size[0] * size[1] > _MOST_PIXELS:
            raise UserError(
                f"a picture of {size[0]:,} x {size[1]:,} pixels could not be opened: show fewer images, or make it "
                "a page (.html)"
            )
        self.picture = Image.new("RGB", size, _PAPER)
        self._draw = ImageDraw.Draw(self.picture)
        y = _MARGIN
        for text, font, colour, line in head:
            self._draw.text((_MARGIN, y), text, fill=colour, font=font)
            y += line
        if page.legend:
            y = self._legend(y)
        for section in page.sections:
            if section.heading:
                y += _LINE
                self._draw.text((_MARGIN, y), fit(section.heading, self._bold, inner), fill=_INK, font=self._bold)
                y += _LINE + _GAP
            for row in section.rows:
                x = _MARGIN
                for place, card in enumerate(row):
                    x += self._before(card, place)
                    self._card(card, x, y)
                    x += self._width(card)
                y += self._height(row)

    def _head(self, width: int) -> list[tuple]:
        """Lines of text: (text, font, colour, height)."""
        title = font_of(20, bold=True)
        lines = [(text, title, _INK, 28) for text in wrap(self._page.title, title, width)]
        facts = "   ".join(f"{name}: {value};" for name, value in self._page.facts.items()).rstrip(";")
        for text in (facts, *self._page.notes):
            lines += [(line, self._font, _FAINT, _LINE + 1) for line in wrap(text, self._font, width)]
        return [*lines, ("", self._font, _FAINT, _GAP)]

    def _width(self, card: Card) -> int:
        text = _QUERY_WIDTH if card.verdict is Verdict.QUERY else _LEAST_WIDTH
        return max(self._box[0] + 2 * _FRAME, text)

    def _before(self, card: Card, place: int) -> int:
        return (_GAP if place else 0) + (_APART if card.gap else 0)

    def _height(self, row: list[Card]) -> int:
        return self._box[1] + 2 * _FRAME + 4 + max(len(card.lines) for card in row) * _LINE + _GAP

    def _legend(self, y: int) -> int:
        x = _MARGIN
        for verdict, text in LEGEND.items():
            self._frame(verdict, (x, y, x + 30, y + 18), 4)
            self._mark(verdict, x + 38, y + 1)
            self._draw.text((x + 60, y + 1), text, fill=_INK, font=self._font)
            x += 60 + round(self._font.getlength(text)) + 30
        return y + _LINE + _GAP

    def _card(self, card: Card, x: int, y: int) -> None:
        width, height = self._box
        outer = (x, y, x + width + 2 * _FRAME - 1, y + height + 2 * _FRAME - 1)
        if card.picture:
            share = min(width / card.picture.width, height / card.picture.height)
            shown = max(1, round(card.picture.width * share)), max(1, round(card.picture.height * share))
            kind = Image.Resampling.LANCZOS if share < 1 else Image.Resampling.BICUBIC
            place = x + _FRAME + (width - shown[0]) // 2, y + _FRAME + (height - shown[1]) // 2
            self._draw.rectangle(outer, fill=_PAPER)
            self.picture.paste(card.picture.resize(shown, kind), place)
        else:
            self._draw.rectangle(outer, fill=_EMPTY)
            text = wrap("cannot be opened", self._font, width)
            middle = x + _FRAME + width / 2, y + _FRAME + height / 2
            self._draw.multiline_text(middle, "\n".join(text), fill=_INK, font=self._font, anchor="mm", align="center")
        self._frame(card.verdict, outer, _FRAME)
        y += height + 2 * _FRAME + 4
        for number, line in enumerate(card.lines):
            font = self._font if number else self._bold
            indent = 0
            if not number and card.verdict in (Verdict.RIGHT, Verdict.WRONG):
                self._mark(card.verdict, x, y)
                indent = 21
            text = fit(line, font, self._width(card) - indent)
            self._draw.text((x + indent, y), text, fill=_FAINT if number > 1 else _INK, font=font)
            y += _LINE

    def _frame(self, verdict: Verdict, box: tuple[int, int, int, int], stroke: int) -> None:
        """Solid for right, dashed for wrong, a thin double line for a query, a hair for the rest."""
        if verdict is Verdict.RIGHT:
            self._draw.rectangle(box, outline=RIGHT, width=stroke)
        elif verdict is Verdict.WRONG:
            self._dashed(box, stroke)
        elif verdict is Verdict.QUERY:
            self._draw.rectangle(box, outline=_INK, width=2)
            self._draw.rectangle((box[0] + 3, box[1] + 3, box[2] - 3, box[3] - 3), outline=_INK, width=1)
        else:
            self._draw.rectangle(box, outline="#bbbbbb", width=1)

    def _dashed(self, box: tuple[int, int, int, int], stroke: int) -> None:
        """Dashes that begin and end at the corners."""
        x0, y0, x1, y1 = box
        for start, end in _dashes(x0, x1, stroke):
            for y in (y0, y1 - stroke + 1):
                self._draw.rectangle((start, y, end, y + stroke - 1), fill=WRONG)
        for start, end in _dashes(y0, y1, stroke):
            for x in (x0, x1 - stroke + 1):
                self._draw.rectangle((x, start, x + stroke - 1, end), fill=WRONG)

    def _mark(self, verdict: Verdict, x: int, y: int) -> None:
        """A tick or a cross on its colour, 16 pixels wide."""
        right = verdict is Verdict.RIGHT
        self._draw.rectangle((x, y, x + 15, y + 15), fill=RIGHT if right else WRONG)
        lines = [[(3, 8), (7, 12), (13, 4)]] if right else [[(4, 4), (12, 12)], [(12, 4), (4, 12)]]
        for line in lines:
            self._draw.line([(x + a, y + b) for a, b in line], fill="#000000", width=2, joint="curve")


def _dashes(first: int, last: int, stroke: int) -> list[tuple[int, int]]:
    """Dashes twice as long as a stroke is wide, evenly from the first pixel to the last."""
    gaps = max(1, round((last - first) / (3.5 * stroke)))
    step = (last - first + 1) / (gaps + 0.6)
    return [
        (first + round(number * step), min(first + round((number + 0.6) * step) - 1, last))
        for number in range(gaps + 1)
    ]
