"""Opening what the user names: regular files of a bounded size, text in UTF-8. Each error says what was seen."""

import os
import stat
from pathlib import Path

from runtime.errors import UserError

LIST_BYTES = 2**30  # of a list: ten million images
_KINDS = (
    (stat.S_ISDIR, "this is a folder, not a file"),
    (stat.S_ISFIFO, "this is a pipe, not a file; save its content as a file first"),
    (stat.S_ISCHR, "this is a device, not a file"),
    (stat.S_ISBLK, "this is a device, not a file"),
    (stat.S_ISSOCK, "this is a socket, not a file"),
)
_STARTS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file (.npy)"),
    (b"MATLAB 7.3", "a MATLAB 7.3 file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"PK\x03\x04", "a zip archive (such as .npz or .xlsx)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"%PDF", "a PDF document"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x02", "a Python pickle (such as a .pt file)"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not downloaded"),
    (b"<!doctype html", "an HTML page (a failed download?)"),
    (b"<html", "an HTML page (a failed download?)"),
)


def check_file(path: Path, most: int | None = None) -> None:
    """Checks that a path is a readable regular file, before it is opened: a pipe would wait for ever.

    Args:
        most: the largest size in bytes; None: any.

    Raises:
        UserError: when it is missing, something else, not readable, or larger.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    for is_kind, what in _KINDS:
        if is_kind(found.st_mode):
            raise UserError(f"{path}: {what}")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path}: cannot be read: permission denied; change its permissions")
    if most is not None and found.st_size > most:
        raise UserError(
            f"{path}: it has {size_of(found.st_size)}, but at most {size_of(most)} are read; is it the file?"
        )


def read_bytes(path: Path, most: int = LIST_BYTES) -> bytes:
    """The content of a file of at most `most` bytes. Raises a `UserError` as `check_file`, or if reading fails."""
    check_file(path, most)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_text(path: Path, most: int = LIST_BYTES) -> str:
    """The text of a UTF-8 file, without a byte order mark. Raises a `UserError` as `read_bytes`, or for other files."""
    return decode(read_bytes(path, most), str(path))


def decode(data: bytes, source: str) -> str:
    """The text in UTF-8 data, without a byte order mark.

    Raises:
        UserError: beginning with `source`; it says which encoding or format the data seems to have.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if what := kind_of(data[:1024]):
            raise UserError(f"{source}: this is {what}, not a text file") from None
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:1024]:
            raise UserError(f"{source}: not UTF-8 text but UTF-16 (or binary data); save it as UTF-8") from None
        shown = ascii(data[max(0, error.start - 20) : error.start + 20])
        what = f"not UTF-8 text, line {line}, byte {error.start}: {shown}"
        raise UserError(f"{source}: {what}; perhaps it is Latin-1 or Windows-1252; save it as UTF-8") from None


def kind_of(start: bytes) -> str:
    """The format of a file in words, from its first bytes; "" if it is not recognised."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((name for sign, name in _STARTS if start.startswith(sign) or text.startswith(sign)), "")


def size_of(count: int) -> str:
    """A number of bytes for a message: `3.2 GB`."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB", "EB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{value:.3g} {unit}"
