"""Names and counts as text: printable, shortened, broken into lines at separators; singular and plural."""

import os
import re
from pathlib import Path

# A line of a name may end after a separator, and before a full stop: ".jpg" stays together, and so do numbers.
_BREAKS = re.compile(r"(?<=[^_\-/\\ ;:@][_\-/\\ ;:@])(?=[^_\-/\\ ;:@])|(?<=[^.])(?=\.[^.\d])")
_LONG = 16  # letters of a part that takes no more short ones


def printable(name: str | Path) -> str:
    """The name with bytes replaced that are not UTF-8; Python keeps these as characters that cannot be encoded."""
    return os.fsencode(name).decode("utf-8", "replace")


def shorten(text: str, length: int, head: int | None = None) -> str:
    """At most `length` characters, with an ellipsis for the middle: names differ at their ends.

    Args:
        text: the name.
        length: most characters.
        head: how many stay before the ellipsis; half of them by default.
    """
    if len(text) <= length:
        return text
    head = length // 2 if head is None else head
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def parts_of(name: str) -> list[str]:
    """The parts of a name between which a line may end: ["crops/", "image_", "01", ".jpg"]; joined they are the name.

    A part of one or two characters stays with the part before it.
    """
    parts: list[str] = []
    for part in _BREAKS.split(name):
        if parts and len(part) < 3 and len(parts[-1]) < _LONG and not parts[-1].endswith(" "):
            parts[-1] += part
        else:
            parts.append(part)
    return parts


def count_of(number: int, noun: str) -> str:
    """A number with its noun: "1 query", "2 queries", "1,000 matches"."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}{'es' if noun.endswith('ch') else 's'}"
