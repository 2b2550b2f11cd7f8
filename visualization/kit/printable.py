"""Names of files as text that can be printed and written."""

import os
from pathlib import Path


def printable(name: str | Path) -> str:
    """A name with all that is not UTF-8 replaced: Python keeps such bytes as characters that cannot be encoded."""
    return os.fsencode(name).decode("utf-8", "replace")


def shorten(text: str, length: int, head: int | None = None) -> str:
    """At most `length` characters: the middle is left out, as names differ at their ends; `head` remain before it."""
    if len(text) <= length:
        return text
    head = length // 2 if head is None else head
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
