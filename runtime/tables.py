"""Tables as aligned text and as CSV files."""

import csv
from pathlib import Path
from typing import Any

from runtime.files import replace_file, writing
from runtime.json_files import read_json_lines
from runtime.printable import printable


def write_csv(file: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Writes rows under a header of all keys, in order of appearance, and returns it. Missing values stay empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replace_file(file) as out:
        writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return columns


class CsvLog:
    """A CSV copy of a JSON-lines file, updated row by row."""

    def __init__(self, file: Path, source: Path) -> None:
        """Writes the rows that `source` has now. Rows of an older CSV file are dropped."""
        self._file, self._source = file, source
        self._columns = write_csv(file, read_json_lines(source))

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row that was added to `source`. If it has new columns, the whole file is rewritten."""
        if not row.keys() <= set(self._columns):
            self._columns = write_csv(self._file, read_json_lines(self._source))
            return
        with writing(self._file), open(self._file, "a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns, restval="", lineterminator="\n").writerow(row)


def align(rows: list[list[str]], left: int = 0) -> str:
    """Rows of cells, made printable, in aligned columns: the first `left` columns to the left, the others to the right.

    A row with fewer cells than the others is a title; its width counts only in the first column.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    columns = max(len(row) for row in rows)
    full = [row for row in rows if len(row) == columns]
    widths = [max(len(row[i]) for row in (full if i else rows)) for i in range(columns)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    )
