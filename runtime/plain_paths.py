"""Names that TensorFlow takes literally.

Its functions for files read `*`, `?`, `[` and a backslash in a path as a pattern, take `a://` for a protocol, shorten
`link/..` without following the link, and need UTF-8.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import UserError

_PLAIN = re.compile(r"[\w/.,+=@%~ -]*")


@contextlib.contextmanager
def plain_path(path: Path) -> Iterator[str]:
    """The absolute path of a file, or of several files with this beginning, or a link to it with a plain name.

    The file may be written, too, unless its own name is not plain.

    Raises:
        UserError: when no link can be made.
    """
    folder, name = os.path.realpath(path.parent), path.name
    if _PLAIN.fullmatch(f"{folder}/{name}"):
        yield f"{folder}/{name}"
        return
    temporary = tempfile.gettempdir()
    with contextlib.ExitStack() as stack:
        try:
            links = stack.enter_context(
                tempfile.TemporaryDirectory(dir=temporary if _PLAIN.fullmatch(temporary) else "/tmp")
            )
            plain = f"{links}/folder/{name}"
            if _PLAIN.fullmatch(name):
                Path(f"{links}/folder").symlink_to(folder)
            else:
                plain = f"{links}/files"
                for file in Path(folder).iterdir():
                    if file.name.startswith(name):
                        Path(plain + file.name.removeprefix(name)).symlink_to(file)
        except OSError as error:
            raise UserError(
                f"{path}: TensorFlow cannot open this name itself, and no link to it can be made in {temporary} "
                f"({error.strerror or error}); rename the folder, or set TMPDIR to a folder that can be written"
            ) from error
        yield plain
