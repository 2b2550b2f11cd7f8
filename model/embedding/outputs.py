"""Formats of embedding files, chosen by the ending: HDF5, NumPy with a list of paths, CSV. Needs no TensorFlow.

All are written under a temporary name, one block of rows at a time. Equal embeddings make equal files.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from model.embedding import hdf5_file
from model.embedding.contents import Block, Contents
from runtime.errors import UserError
from runtime.files import check_output, find_unfinished, remove_unfinished, replace_file, sync, temporary_name

_FORMS = {".h5": "HDF5", ".hdf5": "HDF5", ".npy": "NumPy", ".csv": "CSV"}
_MOST_DIGITS = 15  # -1.1754944e-38 and a comma
_CSV_ROWS = 256  # at a time: embeddings as text take fifty times their memory


def form_of(file: Path) -> str:
    """HDF5, NumPy or CSV.

    Raises:
        UserError: for another ending.
    """
    form = _FORMS.get(file.suffix.lower())
    if form is None:
        raise UserError(f"--filename {file}: unknown ending; use one of {', '.join(_FORMS)}")
    return form


def paths_file(file: Path) -> Path:
    """The file with the paths of the rows of a .npy file: `vectors.paths.txt` for `vectors.npy`."""
    return file.with_name(f"{file.stem}.paths.txt")


def check_filename(file: Path, inputs: Iterable[Path] = ()) -> None:
    """Checks, before any work, that embeddings can be written and nothing else is overwritten.

    Raises:
        UserError: for an unknown ending, as `runtime.files.check_output`, and for an existing file that holds no
            embeddings in this format.
    """
    form = form_of(file)
    check_output(file, "--filename", "embeddings.h5", inputs)
    if file.exists() and file.stat().st_size and not _replaceable(file, form):  # an empty file holds nothing to lose
        what = f"{form} file{' of embeddings' if form == 'CSV' else ''}"
        raise UserError(f"--filename {file}: it exists and is not a {what}; choose another name, or remove it first")
    if form == "NumPy":
        paths = paths_file(file)
        check_output(paths, "--filename", "embeddings.npy", inputs)
        killed = find_unfinished(file) or temporary_name(file, ".partial").exists()
        if paths.exists() and not (file.exists() or killed):
            raise UserError(
                f"--filename {file}: {paths} exists without it and would be overwritten; choose another "
                "name, or remove that file first"
            )


def check_contents(file: Path, paths: Iterable[str], half: bool = False, shard: object = None) -> None:
    """Raises a UserError if this format cannot hold the contents."""
    form = form_of(file)
    if form == "CSV" and half:
        raise UserError(f"--float16 with {file}: numbers in a CSV file have no precision; drop --float16")
    if form != "HDF5" and shard:
        raise UserError(
            f"--shard with {file}: shards must be HDF5 files (.h5); embed.py merge makes a {form} file of them"
        )
    if form == "NumPy" and (odd := next((path for path in paths if "\n" in path or "\r" in path), None)):
        raise UserError(
            f"{odd!a}: the path has a line break, which {paths_file(file)} cannot hold; rename the image file"
        )


def most_bytes(file: Path, contents: Contents) -> int:
    """Upper bound for the size of the file and its list of paths."""
    form, rows = form_of(file), len(contents.paths)
    if form == "HDF5":
        return contents.most_bytes
    text = sum(2 * len(path.encode()) + 4 for path in contents.paths)
    width = _MOST_DIGITS if form == "CSV" else np.dtype(contents.dtype).itemsize
    return rows * contents.dimensions * width + text + 2**10


def write_output(file: Path, contents: Contents, blocks: Iterable[Block]) -> None:
    """Writes embeddings in the format given by the ending of `file`; holds one block in memory.

    Raises:
        UserError: when the file cannot be written, or an embedding is too large for half precision.
    """
    write = {"HDF5": hdf5_file.write_blocks, "NumPy": _write_npy, "CSV": _write_csv}[form_of(file)]
    write(file, contents, blocks)


def _write_npy(file: Path, contents: Contents, blocks: Iterable[Block]) -> None:
    """Writes the vectors and, in a second file, their paths.

    An old .npy is removed before the paths are replaced, and the new one gets its name last. So an existing .npy always
    belongs to the paths.
    """
    list_file, start = paths_file(file), 0
    remove_unfinished(file)
    remove_unfinished(list_file)
    with replace_file(file, "wb") as vectors:
        shape = (len(contents.paths), contents.dimensions)
        descr = np.lib.format.dtype_to_descr(np.dtype(contents.dtype))
        np.lib.format.write_array_header_1_0(vectors, {"descr": descr, "fortran_order": False, "shape": shape})
        for block, _ in blocks:
            vectors.write(np.ascontiguousarray(contents.stored(block, start)).tobytes())
            start += len(block)
        vectors.flush()
        with replace_file(list_file) as text:
            text.writelines(f"{path}\n" for path in contents.paths)
            text.flush()
            sync(vectors)
            file.unlink(missing_ok=True)


def _write_csv(file: Path, contents: Contents, blocks: Iterable[Block]) -> None:
    """Writes `path,v1,v2,...`, each value with the fewest digits that give the same float32."""
    start = 0
    remove_unfinished(file)
    with replace_file(file) as text:
        writer = csv.writer(text, lineterminator="\n")
        for block, _ in blocks:
            for rows in np.split(block, range(_CSV_ROWS, len(block), _CSV_ROWS)):
                paths = contents.paths[start : start + len(rows)]
                values = rows.astype(np.float32).astype(str).tolist()
                writer.writerows([path, *row] for path, row in zip(paths, values, strict=True))
                start += len(rows)


def _replaceable(file: Path, form: str) -> bool:
    """Whether a file begins like embeddings in this format."""
    with open(file, "rb") as there:
        if form != "CSV":
            signature = b"\x89HDF" if form == "HDF5" else b"\x93NUMPY"
            return there.read(len(signature)) == signature
        start = there.readline(2**20)
    try:
        path, *values = next(csv.reader([start.decode()]))
        return bool(values) and not _is_number(path) and all(map(_is_number, values))
    except (UnicodeDecodeError, csv.Error, ValueError, StopIteration):
        return False


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
