"""Work that does not end well, for a process of its own. Imports little: the process is fresh."""

import os
from collections.abc import Iterator

import numpy as np


def fail(how: str) -> Iterator[str]:
    """Yields once, then crashes, takes memory or hangs."""
    yield "started"
    if how == "crash":
        os.abort()
    if how == "memory":
        np.ones(2**28)
    while how == "hang":
        pass
