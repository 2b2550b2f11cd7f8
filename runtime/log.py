"""A log for people: on the terminal, and in a file."""

import shutil
import sys
from datetime import datetime
from pathlib import Path


class Log:
    """Lines for a person: on the terminal, and with the time of day in a file.

    On a terminal a training shows one line that changes in place; elsewhere every line is printed.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._terminal, self._open = file, sys.stdout.isatty(), False

    def line(self, text: str, *, progress: bool = False, printed: bool = True) -> None:
        """One line. `progress` marks those that a terminal replaces by the next; not `printed`, it is for the file."""
        if printed:
            self._print(text, progress)
        if self._file:
            with open(self._file, "a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def _print(self, text: str, progress: bool) -> None:
        if not self._terminal:
            print(text, flush=True)
            return
        if progress:  # a line that wraps could not be taken back
            text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r\033[K{text}" if self._open or progress else text, end="" if progress else "\n", flush=True)
        self._open = progress
