"""What libraries print, held back."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from runtime.errors import UserError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back what is written to stdout and stderr; shows it when the block fails, but for a `UserError`.

    Libraries in C++ write whatever the log level, so that only the file descriptors can stop them.
    """
    with tempfile.TemporaryFile() as noise:
        _flush()
        kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
        try:
            for descriptor in kept:
                os.dup2(noise.fileno(), descriptor)
            yield
        except UserError:
            raise
        except Exception:
            _flush()
            noise.seek(0)
            os.write(kept[2], noise.read())
            raise
        finally:
            _flush()
            for descriptor, copy in kept.items():
                os.dup2(copy, descriptor)
                os.close(copy)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
