"""The log of a command: on the terminal, and in a file."""

import shutil
import sys
from datetime import datetime
from pathlib import Path

from runtime.files import writing
from runtime.printable import printable


class Log:
    """Prints lines, and writes them with date and time to a file.

    On a terminal, each progress line replaces the one before; elsewhere every line is printed.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._terminal, self._open = file, sys.stdout.isatty(), False

    def line(self, text: str, *, progress: bool = False, printed: bool = True) -> None:
        """Logs one line. A terminal replaces a `progress` line by the next. Not `printed`, it goes to the file only."""
        text = printable(text)
        if printed:
            self._print(text, progress)
        if self._file:
            with writing(self._file), open(self._file, "a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def _print(self, text: str, progress: bool) -> None:
        if not self._terminal:
            print(text, flush=True)
            return
        if progress:  # a line that wraps could not be replaced
            text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r\033[K{text}" if self._open or progress else text, end="" if progress else "\n", flush=True)
        self._open = progress
