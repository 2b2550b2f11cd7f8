"""Text files: whole, and of numbered lines, `1 31 bicycle.JPG`, as in Stanford Online Products and CUB-200-2011."""

from collections import Counter
from pathlib import Path

from runtime.errors import UserError


def read_text(path: Path) -> str:
    """The text of a file; a `UserError` when it is missing or no text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text: {error}") from error


def read_words(path: Path, columns: str, once: str, header: bool = False) -> list[list[str]]:
    """The words of every line; blank lines are left out, only the last column may hold spaces.

    Args:
        columns: their names, separated by spaces, for the check and for messages.
        once: those of them in which no word may stand twice.
        header: the first line must name the columns.

    Raises:
        UserError: naming the line that has another number of words, or the word that stands twice.
    """
    lines, names = read_text(path).splitlines(), columns.split()
    if header and (not lines or lines[0].split() != names):
        raise UserError(f"{path}: its first line must be {columns!r}; is it the right file?")
    rows = []
    for number, line in enumerate(lines[header:], start=1 + header):
        words = line.split(maxsplit=len(names) - 1)
        if not words:
            continue
        if len(words) != len(names):
            raise UserError(f"{path}: line {number} is {line!a}; it must be {columns}")
        rows.append([word.strip() for word in words])
    if not rows:
        raise UserError(f"{path}: no images in it")
    for name in once.split():
        word, times = Counter(row[names.index(name)] for row in rows).most_common(1)[0]
        if times > 1:
            raise UserError(f"{path}: {name} {word} stands twice in it")
    return rows
