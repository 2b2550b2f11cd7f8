"""Every batch of a training in one HDF5 file, for looking closely at them afterwards or meanwhile.

Datasets, with a row per batch: `step` (n,) int64, `loss` (n,) float32, `emb` (n, B, D) float32, `anchor_loss` (n, B)
float32, `image` (n, B) int64; and `path` (N,) UTF-8 strings, which `image` counts from 0.

The file is written in HDF5's single-writer-multiple-readers mode: it can be read at any time, also after its writer was
killed. A row is there when its step is, which is written last.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from runtime.errors import UserError

_ROWS = ("loss", "emb", "anchor_loss", "image", "step")  # in the order in which a row is written
_CHUNK_BYTES = 2**16


@dataclass(frozen=True)
class DetailedBatches:
    """n batches of B images: steps, losses (n,), emb (n, B, D), anchor_losses, images (n, B), and all paths (N,)."""

    steps: np.ndarray
    losses: np.ndarray
    emb: np.ndarray
    anchor_losses: np.ndarray
    images: np.ndarray
    paths: np.ndarray


class DetailedLog:
    """Appends batches to the file of a run.

    Attributes:
        notes: what became of an earlier file, in lines for the log.
    """

    def __init__(self, path: Path, files: list[str], start_step: int, batch_size: int, dimensions: int) -> None:
        """Goes on with the file, or begins one.

        Rows of later steps than `start_step` are dropped, as they are computed again. A file that cannot be read is
        renamed to `detailed.damaged.h5`, and one of another batch size, dimension or list of files to
        `detailed.until-<start_step>.h5`, whole; then a new one begins.

        Args:
            path: the file, `detailed.h5` in the run folder.
            files: the N training images.
            start_step: steps done so far.
            batch_size: B.
            dimensions: D.

        Raises:
            UserError: when another program has the file open for itself, or it cannot be written.
        """
        self._path, self._files, self._shape, self.notes = Path(path), files, (batch_size, dimensions), []
        with self._writing():
            if not (self._path.exists() and self._take_over(start_step)):
                self._write_new(iter(()))
            self._h5 = _open_to_append(self._path)

    def append(
        self, step: int, loss: float, embeddings: np.ndarray, anchor_losses: np.ndarray, images: np.ndarray
    ) -> None:
        """Adds the batch of a step: embeddings (B, D), the others (B,); it is in the file when this returns.

        Raises:
            ValueError: for another shape.
            UserError: when it cannot be written.
        """
        values = {"loss": loss, "emb": embeddings, "anchor_loss": anchor_losses, "image": images, "step": step}
        for name, shape in _row_shapes(*self._shape).items():
            if np.shape(values[name]) != shape:
                raise ValueError(f"{name} of shape {np.shape(values[name])}; it must be {shape}")
        with self._writing():
            row = len(self._h5["step"])
            for name in _ROWS:
                if name == "step":
                    self._h5.flush()  # the row first, then what says that it is there
                self._h5[name].resize(row + 1, axis=0)
                self._h5[name][row] = values[name]
            self._h5.flush()

    def close(self) -> None:
        with self._writing():
            self._h5.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError as error:
            raise UserError(f"{self._path}: another program has it open; close it there") from error
        except (OSError, RuntimeError) as error:
            raise UserError(f"cannot write {self._path}: {error}") from error

    def _take_over(self, start_step: int) -> bool:
        """Whether the file that is there is now one to go on with; else it has another name."""
        try:
            with _opened(self._path) as h5:
                fits = h5["emb"].shape[1:] == self._shape and h5["path"].asstr()[:].tolist() == list(self._files)
                keep = int(np.searchsorted(_steps(h5), start_step, side="right"))
                whole = all(len(h5[name]) == keep for name in _ROWS)
            if not fits:
                self._put_aside(f"until-{start_step}", "is of another batch size, dimension or list of images")
            elif not whole or _left_open(self._path):
                # What a killed writer left cannot be opened for writing, and nothing is cut off in place: being killed
                # there would cost the file.
                self._write_new(_rows(self._path, keep))
        except _DamagedError as error:
            self._put_aside("damaged", f"cannot be read ({error})")
            return False
        return fits

    def _put_aside(self, word: str, why: str) -> None:
        aside, number = self._path.with_suffix(f".{word}.h5"), 1
        while aside.exists():
            number += 1
            aside = self._path.with_suffix(f".{word}-{number}.h5")
        self._path.rename(aside)
        self.notes.append(f"{self._path} {why}; it is now {aside.name}, and a new one begins")

    def _write_new(self, rows: Iterator[dict[str, np.ndarray]]) -> None:
        """Writes a file of these rows under a temporary name, then renames it."""
        types = {"step": np.int64, "image": np.int64}
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        try:
            with h5py.File(temporary, "w", libver="latest") as h5:
                h5.create_dataset("path", data=list(self._files), dtype=h5py.string_dtype("utf-8"))
                for name, shape in _row_shapes(*self._shape).items():
                    kind = np.dtype(types.get(name, np.float32))
                    chunk = max(1, min(1024, _CHUNK_BYTES // (kind.itemsize * int(np.prod(shape)))))
                    h5.create_dataset(name, (0, *shape), kind, maxshape=(None, *shape), chunks=(chunk, *shape))
                for block in rows:
                    for name in _ROWS:
                        h5[name].resize(len(h5[name]) + len(block[name]), axis=0)
                        h5[name][-len(block[name]) :] = block[name]
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)


def read_detailed_log(path: Path, start: int = 0, stop: int | None = None) -> DetailedBatches:
    """Reads the batches of steps `start` .. `stop` - 1 (None: all that there are), also while a training writes them.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        with _opened(path) as h5:
            steps = _steps(h5)
            first = int(np.searchsorted(steps, start))
            last = len(steps) if stop is None else max(first, int(np.searchsorted(steps, stop)))
            rows = {name: h5[name][first:last] for name in _ROWS}
            paths = h5["path"].asstr()[:]
    except _DamagedError as error:
        raise UserError(f"{path}: not a readable detailed log: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read now: {error.strerror or error}") from error
    return DetailedBatches(rows["step"], rows["loss"], rows["emb"], rows["anchor_loss"], rows["image"], paths)


class _DamagedError(Exception):
    """The file is no HDF5 file, or not one of this form, or broken inside."""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file for reading, whether it was closed, is being written, or was left by a killed writer."""
    try:
        with h5py.File(path, "r", libver="latest", swmr=_left_open(path)) as h5:
            yield h5
    except (BlockingIOError, PermissionError):
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:  # what h5py raises
        raise _DamagedError(" ".join(str(error).split())) from error


def _open_to_append(path: Path) -> h5py.File:
    """For writing, with readers allowed from the start: h5py's own way is a moment in which being killed costs all."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    flags = h5py.h5f.ACC_RDWR | h5py.h5f.ACC_SWMR_WRITE
    return h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))


def _left_open(path: Path) -> bool:
    """Whether the file is being written, or its writer was killed: HDF5 has a mark for it in byte 11 of the file.

    Such a file may be larger or smaller than it says, so that only others can be checked for being cut.
    """
    with open(path, "rb") as file:
        return any(file.read(12)[11:])


def _steps(h5: h5py.File) -> np.ndarray:
    """The steps of the rows that are there as a whole.

    Raises:
        ValueError: where more is missing than the row that a killed writer was at.
    """
    steps = h5["step"][: min(len(h5[name]) for name in _ROWS)]
    whole = steps[: np.argmin(steps)] if len(steps) and not steps.all() else steps  # 0: a length without its value
    if max(len(h5[name]) for name in _ROWS) > len(whole) + 1:
        raise ValueError("rows are missing")
    return whole


def _rows(path: Path, count: int) -> Iterator[dict[str, np.ndarray]]:
    """The first `count` rows, in blocks."""
    with _opened(path) as h5:
        size = max(1, 2**26 // max(1, int(np.prod(h5["emb"].shape[1:])) * 4))
        for start in range(0, count, size):
            yield {name: h5[name][start : min(start + size, count)] for name in _ROWS}


def _row_shapes(batch_size: int, dimensions: int) -> dict[str, tuple[int, ...]]:
    return {
        "loss": (),
        "emb": (batch_size, dimensions),
        "anchor_loss": (batch_size,),
        "image": (batch_size,),
        "step": (),
    }
