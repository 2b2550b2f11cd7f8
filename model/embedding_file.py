"""The HDF5 file of embeddings.

Datasets: `emb` (N, D) float32; `path` and `identity` (N,) UTF-8 strings, in the same order. Attributes: what made it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dataset.errors import UserError
from dataset.manifest import Manifest


@dataclass(frozen=True)
class Embeddings:
    """Embeddings (N, D) with their images' paths and identities (N,), and the file's attributes."""

    emb: np.ndarray
    paths: np.ndarray
    identities: np.ndarray
    attributes: dict[str, Any]


def write_embeddings(file: Path, emb: np.ndarray, manifest: Manifest, attributes: dict[str, Any]) -> None:
    """Writes the file as a whole: under a temporary name, then renamed.

    Raises:
        UserError: when it cannot be written.
    """
    file = Path(file)
    temporary = file.with_name(f".{file.name}.tmp")
    text = h5py.string_dtype("utf-8")
    try:
        with h5py.File(temporary, "w") as h5:
            h5.create_dataset("emb", data=np.asarray(emb, np.float32))
            h5.create_dataset("path", data=manifest.paths, dtype=text)
            h5.create_dataset("identity", data=manifest.identities, dtype=text)
            h5.attrs.update(attributes)
        temporary.replace(file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_embeddings(file: Path) -> Embeddings:
    """Reads a file of embeddings.

    Raises:
        UserError: when it is no HDF5 file, or one of another form.
    """
    try:
        with h5py.File(file, "r") as h5:
            missing = [name for name in ("emb", "path", "identity") if name not in h5]
            if missing:
                raise UserError(f"{file}: no dataset {missing[0]!r} in it; was it written by embed.py?")
            paths, identities = h5["path"].asstr()[:], h5["identity"].asstr()[:]
            result = Embeddings(h5["emb"][:], paths, identities, dict(h5.attrs))
    except OSError as error:
        raise UserError(f"{file}: not a readable HDF5 file: {error}") from error
    if not len(result.emb) == len(paths) == len(identities):
        raise UserError(f"{file}: {len(result.emb)} embeddings, {len(paths)} paths, {len(identities)} identities")
    return result
