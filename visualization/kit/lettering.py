"""Text in drawn pictures: a font that knows most alphabets where there is one, and lines that fit their place."""

import functools
import importlib.util
from pathlib import Path

from PIL import ImageFont

_UNKNOWN = "?"
_ABSENT = "\uffff"  # in no font


@functools.cache
def font_of(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: Latin, Greek, Cyrillic and more; else Pillow's own font."""
    found = importlib.util.find_spec("matplotlib")
    if found and found.origin:
        name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
        file = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / name
        if file.is_file():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)


def drawable(text: str, font: ImageFont.FreeTypeFont) -> str:
    """The text on one line, with "?" for each character that the font does not have."""
    text = " ".join(text.split())
    return text if text.isascii() else "".join(_known(character, font) for character in text)


def _known(character: str, font: ImageFont.FreeTypeFont) -> str:
    if character.isascii():
        return character
    absent, own = font.getmask(_ABSENT), font.getmask(character)
    return _UNKNOWN if own.size == absent.size and bytes(own) == bytes(absent) else character


def fit(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, its middle left out as far as it is wider than `width` pixels."""
    text = drawable(text, font)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        end = kept // 2
        shown = f"{text[: kept - end]}…{text[len(text) - end :]}"
        if font.getlength(shown) <= width:
            return shown
    return ""


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines no wider than `width` pixels, broken at spaces; a longer word is shortened."""
    lines: list[str] = []
    for word in drawable(text, font).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(fit(word, font, width))
    return lines
