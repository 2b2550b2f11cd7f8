"""Opening HDF5 files: an error says what was seen, and nothing outside the file is read."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import h5py

from runtime.errors import UserError
from runtime.hdf5 import open_hdf5
from runtime.input_files import check_file, kind_of, size_of

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FREE_BYTES, _MOST_TIMES = 2**26, 100  # a dataset may claim this, and this many times the size of its file


@contextlib.contextmanager
def opened(file: Path, remedy: str) -> Iterator[h5py.File]:
    """The file, open for reading. Errors of h5py, also inside the block, become UserErrors that name the file.

    Args:
        remedy: what to do when the file is damaged.

    Raises:
        UserError: when it is missing, locked, of another format, truncated or damaged.
    """
    check_file(file)
    try:
        h5 = open_hdf5(file)
    except OSError as error:
        raise UserError(f"{file}: {_reason(file, error, remedy)}") from error
    with h5:
        try:
            yield h5
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{file}: the HDF5 file is damaged ({_short(error)}); {remedy}") from error


def _reason(file: Path, error: OSError, remedy: str) -> str:
    """Why a file cannot be opened, and what to do."""
    reason = str(error)
    with open(file, "rb") as stream:
        start = stream.read(8192)
    if not start:
        return f"it is empty; {remedy}"
    if not any(start.startswith(_SIGNATURE, place) for place in (0, 512, 1024, 2048, 4096)):
        what = kind_of(start) or (
            "text" if _is_text(start) else f"of an unknown format, its first bytes are {start[:8]!r}"
        )
        return f"this is not an HDF5 file: it is {what}; name another file, or {remedy}"
    if cut := re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", reason):
        return f"it is truncated: it has {int(cut[1]):,} of {int(cut[2]):,} bytes; copy it again, or {remedy}"
    if "already open for write" in reason or "consistency flags" in reason:
        return f"it is not closed: wait until the program that writes it ends, or {remedy}"
    return f"the HDF5 file is damaged ({_short(error)}); {remedy}"


def _is_text(start: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        return start[:-4].decode().isprintable() or b"\n" in start
    return False


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def find_dataset(h5: h5py.File | h5py.Group, name: str | h5py.Reference) -> h5py.Dataset | None:
    """A dataset inside the file; None if there is none of this name.

    Raises:
        UserError: when its values are in another file, or it claims a size that the file cannot have.
    """
    file = h5.file.filename
    if isinstance(name, str):
        link = h5.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"{file}: {name!r} is only a link, perhaps to another file; copy the values into this one")
    found = h5[name]
    if not isinstance(found, h5py.Dataset):
        return None
    shown = repr(name) if isinstance(name, str) else "a dataset"
    if found.external or found.is_virtual:
        raise UserError(f"{file}: the values of {shown} are in another file; copy them into this one")
    size = os.path.getsize(file)  # noqa: PTH202
    claimed = found.dtype.itemsize
    for length in found.shape or ():
        claimed *= length
    if claimed > _FREE_BYTES + _MOST_TIMES * size:
        what = f"{shown} has shape {found.shape}, {size_of(claimed)}, but the whole file has {size_of(size)}"
        raise UserError(f"{file}: {what}; the file is damaged")
    return found
