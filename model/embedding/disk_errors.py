"""A file that h5py writes to, on a disk that may be full."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import IO, Any

_PAGE = 2**16


class ErrorKeepingFile:
    """A file object for h5py.File that keeps the first error instead of raising it.

    HDF5 cannot close a file of which a write has failed: h5py then raises a RuntimeError that names no reason, and the
    process crashes when it ends. So a write always seems to succeed; what follows the error stays in memory, because
    HDF5 reads again what it has written and crashes when it is not there. Whoever uses the file asks `check` as often
    as memory allows; the end of the `with` block does so as well. Ctrl-C in that block, which would come out of a call
    by HDF5, is an error like the others.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Args:
        file: open for reading and writing, without a buffer, which would fail at some later call.
        """
        self._file, self._at = file, 0
        self._error: BaseException | None = None
        self._pages: dict[int, bytearray] = {}  # by number; those that were written since the error

    def __enter__(self) -> "ErrorKeepingFile":
        in_main = threading.current_thread() is threading.main_thread()  # no other may set a handler
        self._interrupts = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._interrupts:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.check()  # rather than `error`, which is what HDF5 made of it

    def check(self) -> None:
        """Raises the error that was kept, if there is one; the file is then of no use."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            self._at = offset
        else:
            self._at = self._file.seek(offset, whence) if whence == os.SEEK_END else self._at + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._error is None:
            self._file.seek(start)
            return self._file.read(size)
        numbers = range(start // _PAGE, (start + size) // _PAGE + 1)
        pages = b"".join(self._pages.get(number) or self._page_of_file(number) for number in numbers)
        return pages[start % _PAGE :][:size]

    def write(self, data: Any) -> int:
        view, start = memoryview(data).cast("B"), self._at
        try:
            if self._error is None:
                self._write(view, start)
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._keep(view, start)
        self._at = start + len(view)
        return len(view)

    def truncate(self, size: int) -> int:
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size

    def flush(self) -> None:
        """Nothing: there is no buffer."""

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._error = self._error or KeyboardInterrupt()

    def _write(self, view: memoryview, start: int) -> None:
        self._file.seek(start)
        while view:  # the system may take a part only
            view = view[self._file.write(view) :]

    def _keep(self, view: memoryview, start: int) -> None:
        while view:
            number, place = divmod(start, _PAGE)
            part = view[: _PAGE - place]
            if number not in self._pages:
                self._pages[number] = self._page_of_file(number)
            self._pages[number][place : place + len(part)] = part
            view, start = view[len(part) :], start + len(part)

    def _page_of_file(self, number: int) -> bytearray:
        self._file.seek(number * _PAGE)
        return bytearray(self._file.read(_PAGE).ljust(_PAGE, b"\0"))
