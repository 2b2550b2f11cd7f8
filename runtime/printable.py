"""Text that leaves the process: names and messages as one safe line, on any terminal."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterable

# A line of a name may end after a separator, and before a full stop: ".jpg" stays together, and so do numbers.
_BREAKS = re.compile(r"(?<=[^_\-/\\ ;:@][_\-/\\ ;:@])(?=[^_\-/\\ ;:@])|(?<=[^.])(?=\.[^.\d])")
_LONG = 16  # letters of a part that takes no more short ones
LONGEST = 500  # characters of a printed error


def printable(text: object) -> str:
    """A name or message as one line that shows each of its characters.

    Characters that a terminal or page obeys or hides (control, zero-width, bidirectional, line separators) become
    escapes such as `\\x1b`. Bytes of a path that are not UTF-8 become `�`.
    """
    text = str(text)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def print_line(text: object, *, error: bool = False) -> None:
    """Prints a name or message as one safe line, at once; on stderr if `error`."""
    print(printable(text), file=sys.stderr if error else sys.stdout, flush=True)


def printable_lines(text: str) -> str:
    """A text of several lines, such as a table, with each line printable; names in it must have no newlines."""
    return "\n".join(map(printable, text.split("\n")))


def print_lines(text: str) -> None:
    """Prints a text of several lines; see `printable_lines`."""
    print(printable_lines(text), flush=True)


def print_error(text: object) -> None:
    """Prints an error: one line on stderr, shortened in its middle."""
    print_line(shorten(printable(text), LONGEST), error=True)


def prepare_streams() -> None:
    """Lets stdout and stderr take any text: what their encoding lacks is escaped, and a closed stream is ignored."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed; without this, the next file that is opened would take its place
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it is open until the end
        elif reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that look the same, in order of appearance.

    They differ in blanks at their ends or in number, in characters that are not shown, or in their Unicode form.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(looks_of(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def look_alike_note(names: Iterable[str]) -> str:
    """One line about identities that look the same; empty if there are none."""
    groups = look_alikes(names)
    if not groups:
        return ""
    more = f" and {len(groups) - 1:,} more groups" if len(groups) > 1 else ""
    return f"identities that look the same but are different: {', '.join(map(ascii, groups[0][:3]))}{more}"


def looks_of(name: str) -> str:
    """What is seen of a name: composed letters, single plain blanks inside, no characters that are not shown."""
    if name.isascii() and name.isprintable() and "  " not in name and name.strip() == name:
        return name
    shown = "".join(c for c in unicodedata.normalize("NFC", name) if c.isprintable() or c.isspace())
    return " ".join(shown.split())


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


def _escaped(letter: str) -> str:
    # A surrogate stands for a byte that is not UTF-8 (os.fsdecode); it cannot be encoded.
    return "�" if "\ud800" <= letter <= "\udfff" else letter.encode("unicode_escape").decode()
