"""A clean stop on SIGINT and SIGTERM."""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class StopRequest:
    """A context in which the first SIGINT or SIGTERM only sets `requested`; a second one ends the process."""

    def __init__(self) -> None:
        self.requested: str | None = None
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name
        os.write(2, b"\nstopping after this step; press Ctrl-C again to stop immediately\n")
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, signal.SIG_DFL)
