"""The log of a command: on the terminal, and in a file."""

import itertools
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path

from runtime.files import writing
from runtime.printable import printable

_LARGE = 2**24  # bytes of a file
_EARLIER = 4  # files that are kept, next to the present one


class Log:
    """Prints lines, and writes them with date and time to a file.

    On a terminal, each progress line replaces the one before; elsewhere every line is printed. A file that has become
    large is renamed to `<name>.1`, an earlier one to `<name>.2`, and so on; the oldest is removed.

    Attributes:
        last: the last line.
        told: its time, in seconds of `time.monotonic`.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._terminal, self._open = file, sys.stdout.isatty(), False
        self.last, self.told = "", time.monotonic()

    def line(self, text: str, *, progress: bool = False, printed: bool = True) -> None:
        """Logs one line. A terminal replaces a `progress` line by the next. Not `printed`, it goes to the file only."""
        text = printable(text)
        self.last, self.told = text, time.monotonic()
        if printed:
            self._print(text, progress)
        if self._file:
            with writing(self._file):
                with open(self._file, "a", encoding="utf-8") as file:
                    file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
                    size = file.tell()
                if size > _LARGE:
                    _rotate(self._file)

    def _print(self, text: str, progress: bool) -> None:
        if not self._terminal:
            print(text, flush=True)
            return
        if progress:  # a line that wraps could not be replaced
            text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r\033[K{text}" if self._open or progress else text, end="" if progress else "\n", flush=True)
        self._open = progress


def _rotate(file: Path) -> None:
    names = [file, *(file.with_name(f"{file.name}.{number}") for number in range(1, _EARLIER + 1))]
    for newer, older in reversed(list(itertools.pairwise(names))):
        if newer.exists():
            newer.replace(older)
