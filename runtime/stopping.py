"""Clean ends: requests to stop, a closed terminal, and output that nobody reads any more."""

import contextlib
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, ClassVar, TextIO, cast

_TOGETHER = 1.0  # seconds: terminals and wrappers deliver one Ctrl-C twice; only a later one is meant as a second


class Ended(KeyboardInterrupt):
    """The terminal was closed, or the reader of the output has ended. `code` is the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class StopRequest:
    """A context in which SIGINT, SIGTERM, SIGUSR1, SIGHUP and the end of the output only set `requested`.

    A second SIGINT or SIGTERM, at least a second after the first, ends the process. A SIGHUP that is ignored already,
    as by nohup, stays ignored.

    Attributes:
        requested: what asked for the stop, such as "SIGINT"; None before.
        code: the exit code that tells it.
    """

    _entered: ClassVar[list["StopRequest"]] = []

    def __init__(self) -> None:
        self.requested: str | None = None
        self.code = 0
        self._since = 0.0
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            if number != signal.SIGHUP or not _outlives_terminal():
                self._before[number] = signal.signal(number, self._hear)
        self._entered.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def request(self, reason: str, code: int) -> None:
        """Asks for a stop; only the first request counts."""
        if self.requested is None:
            self.requested, self.code, self._since = reason, code, time.monotonic()
            with contextlib.suppress(OSError):  # nobody may be listening
                os.write(2, b"\nstopping, and saving first; press Ctrl-C again to stop immediately\n")

    def _hear(self, number: int, frame: FrameType | None) -> None:
        late = self.requested is not None and time.monotonic() - self._since >= _TOGETHER
        if late and number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.request(signal.Signals(number).name, 128 + number)


class Output:
    """stdout or stderr of a command. The first error of writing is reported once; what follows is dropped.

    Attributes:
        failure: an error that the user must see, such as a full disk; None while all is well.
    """

    def __init__(self, stream: TextIO, lost: Callable[[OSError], None] | None = None) -> None:
        self.stream, self._lost = stream, lost
        self.failure: OSError | None = None
        self._dropping = False

    def write(self, text: str) -> int:
        self._attempt(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def close_quietly(self) -> None:
        """Lets the stream end without an error: what it still holds goes nowhere."""
        if self._dropping:
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())
                self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self._dropping:
            return
        try:
            action()
        except BlockingIOError:  # another program made the terminal non-blocking; this text is lost
            pass
        except OSError as error:
            self._dropping = True
            if error.errno not in (errno.EPIPE, errno.EIO):
                self.failure = OSError(error.errno, error.strerror, "standard output")
            if self._lost:
                self._lost(self.failure or error)


@contextlib.contextmanager
def attended() -> Iterator[Output]:
    """A context in which a closed terminal, or output without a reader, stops the command cleanly.

    Inside `StopRequest` it asks for a stop, elsewhere it raises `Ended`. Under nohup the work continues without output.
    """
    before = sys.stdout, sys.stderr
    out, errors = Output(sys.stdout, _output_lost), Output(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, errors)
    heard = None
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        heard = signal.signal(signal.SIGHUP, _hang_up)
    try:
        yield out
    finally:
        for stream in (out, errors):
            stream.flush()
            stream.close_quietly()
        sys.stdout, sys.stderr = before
        if heard is not None:
            signal.signal(signal.SIGHUP, heard)


def _outlives_terminal() -> bool:
    """Whether the process was started to outlive its terminal, as by nohup."""
    return signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def _hang_up(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a closed terminal sends several; one must not disturb the end
    raise Ended(number)


def _output_lost(error: OSError) -> None:
    number = {errno.EPIPE: signal.SIGPIPE, errno.EIO: signal.SIGHUP}.get(error.errno or 0)
    if number and _outlives_terminal():
        return
    if StopRequest._entered:
        reason = number.name if number else f"an error of standard output ({error.strerror})"
        StopRequest._entered[-1].request(reason, 128 + number if number else 2)
    else:
        raise Ended(number) if number else error
