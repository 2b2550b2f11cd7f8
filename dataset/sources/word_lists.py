"""Files of words such as `1 31 bicycle.JPG` (Stanford Online Products, CUB-200-2011)."""

from collections import Counter
from pathlib import Path

from runtime.errors import UserError
from runtime.input_files import read_text


def read_words(path: Path, columns: str, once: str, header: bool = False) -> list[list[str]]:
    """The words of every line. Blank lines are skipped; only the last column may contain spaces.

    Args:
        columns: the names of the columns, separated by spaces, for checks and messages.
        once: the names of columns without repeated words.
        header: whether the first line must name the columns.

    Raises:
        UserError: naming a line with another number of words, or a repeated word.
    """
    lines, names = read_text(path).splitlines(), columns.split()
    if header and (not lines or lines[0].split() != names):
        raise UserError(f"{path}: its first line must be {columns!r}; check that it is the right file")
    rows = []
    for number, line in enumerate(lines[header:], start=1 + header):
        words = line.split(maxsplit=len(names) - 1)
        if not words:
            continue
        if len(words) != len(names):
            raise UserError(f"{path}: line {number} is {line!a}; it must have the words {columns}")
        rows.append([word.strip() for word in words])
    if not rows:
        raise UserError(f"{path}: no images in it; download it again")
    for name in once.split():
        word, times = Counter(row[names.index(name)] for row in rows).most_common(1)[0]
        if times > 1:
            raise UserError(f"{path}: {name} {word} is in it twice; download it again")
    return rows
