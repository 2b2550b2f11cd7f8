"""Imports and output of libraries: held back unless something fails."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import UserError


@contextlib.contextmanager
def quiet(*descriptors: int) -> Iterator[None]:
    """Holds back what the process writes to 1 (stdout) or 2 (stderr), and shows it if the block fails.

    It is not shown for a `UserError`, which explains itself. C++ libraries ignore the log level; only redirected file
    descriptors stop them. Output of other threads is held back too.
    """
    with tempfile.TemporaryFile() as noise, contextlib.ExitStack() as put_back:
        _flush()
        kept = []
        for descriptor in descriptors:
            with contextlib.suppress(OSError):  # closed, as in a service: there is nothing to hold back
                kept.append(copy := os.dup(descriptor))
                put_back.callback(os.close, copy)
                put_back.callback(os.dup2, copy, descriptor)
                os.dup2(noise.fileno(), descriptor)
        put_back.callback(_flush)
        try:
            yield
        except UserError:
            raise
        except Exception:
            _flush()
            noise.seek(0)
            if kept:
                os.write(kept[-1], noise.read())
            raise


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


@contextlib.contextmanager
def blaming_keras_json() -> Iterator[None]:
    """TensorFlow and Keras read keras.json while they are imported, and refuse unknown values in various ways."""
    try:
        yield
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        file = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"
        if not file.exists():
            raise
        reason = f" ({error})" if str(error) else ""
        raise UserError(f"{file}: Keras refuses this file{reason}; correct or remove it") from error
