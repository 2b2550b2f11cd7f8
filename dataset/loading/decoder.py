"""The full check of images: each is decoded with the function of training. Needs TensorFlow.

TensorFlow's decoder fills what a JPEG lacks with grey, and says so only on stderr, from C++. So the check listens to
stderr. It decodes in a graph of its own, because eager ops would fix the devices before a run can choose them.
"""

import contextlib
import functools
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import BinaryIO, TypeVar

import numpy as np
import tensorflow as tf

from dataset import images
from dataset.formats.packed import read_image
from dataset.loading.headers import JPEG_START, segments
from runtime.errors import UserError
from runtime.parallel import cores

Result = TypeVar("Result")

tf.get_logger().setLevel("ERROR")

_LOT = 8  # files per core between two looks at stderr
_COMPLAINT = re.compile(rb"Corrupt JPEG data: (.*)|(Premature end of JPEG file)")
_EXTRA = re.compile(r"\d+ extraneous bytes before marker 0x(..)")
_END, _RESTARTS = 0xD9, range(0xD0, 0xD8)


class Decoder:
    """Decodes the bytes of image files, and tells what is wrong with them."""

    def __init__(self) -> None:
        with tf.Graph().as_default() as graph:
            self._data = tf.compat.v1.placeholder(tf.string, [])
            self._image = images.decode(self._data, 3)
        config = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
        self._session = tf.compat.v1.Session(graph=graph, config=config)

    def decode(self, data: bytes) -> np.ndarray:
        """(H, W, 3) uint8. Raises a tf.errors.OpError for data that cannot be decoded."""
        return self._session.run(self._image, {self._data: data})

    def problem(self, data: bytes) -> str | None:
        """What is wrong with the bytes of a file. Only one thread may call this, as it listens to stderr."""
        with _stderr() as heard:
            try:
                self.decode(data)
            except tf.errors.OpError:
                return _reason(heard())
            complaint = _complaint(heard()) if data.startswith(JPEG_START) else ""
        extra = _EXTRA.fullmatch(complaint)
        if not complaint or (extra and int(extra[1], 16) == _END):  # padding before the end is harmless
            return None
        if extra and int(extra[1], 16) not in _RESTARTS and (tidy := _without_extra(data)) != data:
            return self.problem(tidy)  # libjpeg tells its first complaint only
        kind = "truncated or damaged" if "premature" in complaint.lower() else "damaged"
        return f"{kind} ({complaint})"


@functools.cache
def _decoder() -> Decoder:
    return Decoder()


def decode_files(files: list[str], use: Callable[[np.ndarray], Result]) -> Iterator[tuple[str | None, Result | None]]:
    """Yields (problem, use(pixels)) of each file, in order; the problem of a sound file and the use of others are None.

    Several threads decode. A lot of files is in memory at a time.
    """
    decoder, size = _decoder(), _LOT * cores()

    def attempt(file: str) -> tuple[str | None, Result | None, bytes]:
        try:
            data = read_image(file)
        except OSError as error:
            return f"cannot be read: {error.strerror or error}", None, b""
        except UserError as error:  # of a pack
            return str(error), None, b""
        try:
            return None, use(decoder.decode(data)), data
        except tf.errors.OpError:
            return None, None, data

    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(files), size):
            with _stderr() as heard:
                lot = list(pool.map(attempt, files[start : start + size]))  # all of them, before anyone is blamed
                complaint = _complaint(heard())
            for problem, used, data in lot:
                # The complaint may be about any file of the lot: each is asked alone.
                problem = problem or (decoder.problem(data) if complaint or used is None else None)
                yield problem, None if problem else used


@contextlib.contextmanager
def _stderr() -> Iterator["Heard"]:
    """Keeps what the process writes to stderr; the result is called to read it."""
    with tempfile.TemporaryFile() as noise, contextlib.ExitStack() as put_back:
        if sys.stderr is not None:
            sys.stderr.flush()
        with contextlib.suppress(OSError):  # closed, as in a service
            copy = os.dup(2)
            put_back.callback(os.close, copy)
            put_back.callback(os.dup2, copy, 2)
        os.dup2(noise.fileno(), 2)
        yield Heard(noise)


class Heard:
    """Reads the beginning of what was written to a file."""

    def __init__(self, noise: BinaryIO) -> None:
        self._noise = noise

    def __call__(self) -> bytes:
        return os.pread(self._noise.fileno(), 1 << 16, 0)


def _complaint(heard: bytes) -> str:
    found = _COMPLAINT.search(heard)
    return (found[1] or found[2]).decode("utf-8", "replace").strip() if found else ""


def _reason(heard: bytes) -> str:
    """Why decoding failed, in libjpeg's words if there are any; TensorFlow gives no reason."""
    lines = heard.decode("utf-8", "replace").replace("Corrupt JPEG data: ", "").splitlines()
    words = next((line.strip() for line in lines if not line.startswith("Improper call")), "")  # that is TensorFlow's
    cut = not words or "premature" in words.lower()
    return f"{'truncated or damaged' if cut else 'damaged'} ({words or 'TensorFlow cannot decode its data'})"


def _without_extra(data: bytes) -> bytes:
    """A JPEG without bytes between the segments before its first scan."""
    parts, stream = [data[:2]], BytesIO(data)
    for _, start, length in segments(stream):
        parts.append(data[start : (end := start + 4 + length)])
    return b"".join(parts) + data[end:] if len(parts) > 1 else data
