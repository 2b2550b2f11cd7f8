"""Text files: whole, and of numbered lines, `1 31 bicycle.JPG`, as in Stanford Online Products and CUB-200-2011."""

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


def read_words(path: Path, columns: str, header: bool = False) -> list[list[str]]:
    """The words of every line; blank lines are left out, only the last column may hold spaces.

    Args:
        columns: their names, separated by spaces, for the check and for messages.
        header: the first line must name the columns.

    Raises:
        UserError: naming the line that has another number of words.
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
    return rows


def by_number(path: Path, columns: str) -> dict[str, list[str]]:
    """Lines known by their first word -> the other words.

    Raises:
        UserError: as `read_words`, and for a number that stands twice.
    """
    found: dict[str, list[str]] = {}
    for number, *words in read_words(path, columns):
        if number in found:
            raise UserError(f"{path}: {columns.split()[0]} {number} stands twice in it")
        found[number] = words
    return found
