"""Names of files as text that can be printed and written."""

import os
from pathlib import Path


def printable(name: str | Path) -> str:
    """A name with all that is not UTF-8 replaced: Python keeps such bytes as characters that cannot be encoded."""
    return os.fsencode(name).decode("utf-8", "replace")
