"""Writes and reads the detailed log: embeddings and losses of every batch.

`detailed/<last step>.npz` has one row per batch: `step` (n,) int64, `loss` (n,) float32, `emb` (n, B, D) float32,
`anchor_loss` (n, B) float32 and `image` (n, B) int64, an index into `paths` of `detailed/contents.json`. That file also
has `batch_size` B and `dimensions` D.

Above a limit, the oldest files are removed.

A file is written before each checkpoint, and when the rows in memory become large. A killed training loses only rows
after its last checkpoint, which it computes again when it resumes.
"""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.errors import UserError
from runtime.files import replace_file
from runtime.json_files import read_json, read_json_object, write_json

_TYPES = {"step": np.int64, "loss": np.float32, "emb": np.float32, "anchor_loss": np.float32, "image": np.int64}
_CONTENTS = "contents.json"
_LARGE = 2**26  # bytes of embeddings in memory


@dataclass(frozen=True)
class DetailedBatches:
    """n batches of B images: steps, losses (n,), emb (n, B, D), anchor_losses, images (n, B), and all paths (N,)."""

    steps: np.ndarray
    losses: np.ndarray
    emb: np.ndarray
    anchor_losses: np.ndarray
    images: np.ndarray
    paths: list[str]


class DetailedLog:
    """Adds batches to the folder of a run.

    Attributes:
        note: a log line about an earlier folder that was renamed; None without one.
    """

    def __init__(
        self, folder: Path, files: list[str], start_step: int, batch_size: int, dimensions: int, most: float = math.inf
    ) -> None:
        """Continues the folder, or begins one.

        Removes files of steps after `start_step`: these steps are repeated. Renames a folder of another batch size,
        dimension or list of files to `detailed.until-<start_step>`.

        Args:
            folder: `detailed` in the run folder.
            files: the N training images.
            start_step: steps done so far.
            batch_size: B.
            dimensions: D.
            most: bytes to keep. When there are more, the oldest files are removed.

        Raises:
            UserError: when the folder cannot be written.
        """
        self._folder, self.note, self._most = Path(folder), None, most
        self._rows: list[dict[str, float | np.ndarray]] = []
        contents = {"batch_size": batch_size, "dimensions": dimensions, "paths": list(files)}
        known = self._folder / _CONTENTS
        started = known.exists() or any(self._folder.glob("*.npz"))
        if started and _read_contents(known) != contents:
            self.note = self._put_aside(start_step)
        for file in self._folder.glob("*.npz"):
            if file.stem.isdecimal() and int(file.stem) > start_step:
                file.unlink()
        for half in self._folder.glob(".*.tmp"):  # from a killed writer
            half.unlink()
        write_json(known, contents)
        self._sizes = {file: file.stat().st_size for file in sorted(self._folder.glob("*.npz"))}

    def append(
        self, step: int, loss: float, embeddings: np.ndarray, anchor_losses: np.ndarray, images: np.ndarray
    ) -> None:
        """Adds the batch of a step: embeddings (B, D), the others (B,)."""
        self._rows.append(
            {"step": step, "loss": loss, "emb": embeddings, "anchor_loss": anchor_losses, "image": images}
        )
        if len(self._rows) * embeddings.nbytes >= _LARGE:
            self.write()

    def write(self) -> None:
        """Writes the rows in memory to a file.

        Raises:
            UserError: when the file cannot be written.
        """
        if not self._rows:
            return
        columns = {name: np.array([row[name] for row in self._rows], kind) for name, kind in _TYPES.items()}
        path = self._folder / f"{self._rows[-1]['step']:08}.npz"
        with replace_file(path, "wb") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]  # for its types, one may be the option allow_pickle
        self._rows.clear()
        self._sizes[path] = path.stat().st_size
        while sum(self._sizes.values()) > self._most and len(self._sizes) > 1:
            oldest = next(iter(self._sizes))
            oldest.unlink(missing_ok=True)
            del self._sizes[oldest]

    def _put_aside(self, start_step: int) -> str:
        name, number = f"{self._folder.name}.until-{start_step}", 1
        while (aside := self._folder.with_name(name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        self._folder.rename(aside)
        return (
            f"{self._folder} is damaged or has another batch size, dimension or list of images; it was renamed to "
            f"{aside.name}, and a new one begins"
        )


def _read_contents(file: Path) -> object:
    try:
        return read_json(file)
    except UserError:  # damaged: the folder is renamed, so nothing is lost
        return None


def read_detailed_log(folder: Path) -> DetailedBatches:
    """All batches that are written so far; a training may still be running.

    Raises:
        UserError: when there are none yet.
    """
    file = Path(folder) / _CONTENTS
    paths = read_json_object(file).get("paths")
    if not isinstance(paths, list):
        raise UserError(f"{file}: it has no list of paths; a resumed training renames the folder and begins a new one")
    parts = []
    for file in sorted(Path(folder).glob("*.npz")):
        try:
            with np.load(file) as part:
                parts.append({name: part[name] for name in _TYPES})
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{file}: damaged ({error}); move it away") from error
    if not parts:
        raise UserError(f"{folder}: no batch is written yet; wait for the first checkpoint after step 0")
    steps, losses, emb, anchor_losses, images = (np.concatenate([part[name] for part in parts]) for name in _TYPES)
    return DetailedBatches(steps, losses, emb, anchor_losses, images, paths)
