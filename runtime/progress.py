"""Progress of long work: how much is done, the speed, and the time left."""

import sys
import time
from collections import deque

from runtime.printable import printable

_WINDOW = 60.0  # seconds over which the speed is averaged: work skipped at the start soon stops counting


class Progress:
    """Prints the progress of work on `total` things: one changing line on a terminal, else a line now and then.

    Args:
        verb, unit: words of the line, as in "cropped 1,200 of 176,126 frames".
        total: how many things there are.
        every: seconds between two lines; by default 1 on a terminal, else 30.
    """

    def __init__(self, verb: str, total: int, unit: str, every: float | None = None) -> None:
        self._verb, self._total, self._unit = verb, total, unit
        self._terminal = sys.stdout.isatty()
        self._every = every if every is not None else 1.0 if self._terminal else 30.0
        self._start = self._told = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque([(self._start, 0)])

    def __call__(self, done: int) -> None:
        """Call it with the number done so far, at any rate; the last call must have `total`."""
        now = time.monotonic()
        last = done >= self._total
        if now - self._told < self._every and not last:
            return
        self._told = now
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW:
            self._marks.popleft()
        line = printable(self._line(now, done, last))
        if self._terminal:
            print(line.ljust(79), end="\n" if last else "\r", flush=True)  # overwrites the line before
        else:
            print(line, flush=True)

    def _line(self, now: float, done: int, last: bool) -> str:
        head = f"{self._verb} {done:,} of {self._total:,} {self._unit}"
        # The last line shows the average speed.
        (since, before) = (self._start, 0) if last else self._marks[0]
        rate = (done - before) / max(now - since, 1e-9)
        if last:
            return f"{head} in {clock(now - self._start)}, {rate:,.0f} {self._unit}/s"
        left = clock((self._total - done) / rate) if rate > 0 else "?"
        return f"{head} ({done / self._total:.0%}), {rate:,.0f} {self._unit}/s, {left} left"


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:34 or 3:02:01."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
