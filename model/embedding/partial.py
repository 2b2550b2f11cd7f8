"""Embeddings of a run that is under way: rows appended to a file, from which a killed run goes on.

The file is a line of JSON, which says what the rows depend on, and then rows of (A, D) float32, one for each image.
"""

import glob
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dataset.loading.checked import CheckedImages
from model.configuration.params import Params
from runtime.errors import UserError

_BLOCK_BYTES = 2**25  # read together
# The parameters that reading images and the network in inference depend on; all others have done their work when there
# is a checkpoint, or say how fast it goes.
_WITH_EFFECT = (
    "image_size",
    "image_channels",
    "pre_crop_size",
    "pad_to_square",
    "model_type",
    "last_stride",
    "backbone_stage",
    "head",
    "pooling",
    "descriptors",
    "gem_p",
    "gem_learned",
    "whitening",
    "embedding_size",
    "preprocess",
    "num_channels",
    "use_batch_norm",
    "precision",
    "deterministic",
)


class PartialEmbeddings:
    """The rows that are there, kept or new.

    Attributes:
        done: number of rows there are.
        note: what became of rows that were there before, in a line for the user; None without such rows.
    """

    def __init__(self, file: Path, origin: dict[str, Any], rows: int, variants: int, dimensions: int) -> None:
        """Goes on with the file if its rows have the same origin, else begins it anew.

        Args:
            file: its path.
            origin: what the rows depend on; values that JSON can hold.
            rows, variants, dimensions: N, A and D when it is complete.

        Raises:
            UserError: when the file cannot be written.
        """
        self._path, self._row_shape, self._row_bytes = Path(file), (variants, dimensions), 4 * variants * dimensions
        header = (json.dumps(origin, sort_keys=True) + "\n").encode()
        self.done, self.note, self._header_bytes = 0, None, len(header)
        self._path.touch()
        with open(self._path, "rb") as kept:
            before = kept.readline()
        size = self._path.stat().st_size
        if before == header:
            self.done = min(rows, (size - len(header)) // self._row_bytes)
            os.truncate(self._path, len(header) + self.done * self._row_bytes)  # half a row is none
            if self.done:
                self.note = f"{self.done:,} of {rows:,} images are embedded already: going on after them"
        else:
            if size > len(before) > 0:
                self.note = f"embeddings of an earlier run are dropped: {_difference(before, origin)}"
            self._write(header, "wb")

    def append(self, rows: np.ndarray) -> None:
        """Adds rows, (n, A, D) float32.

        Raises:
            UserError: when they cannot be written.
        """
        self._write(rows.tobytes())
        self.done += len(rows)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, a bounded number at a time: (n, A, D)."""
        size = max(1, _BLOCK_BYTES // self._row_bytes)
        rows = np.memmap(self._path, np.float32, "r", self._header_bytes, (self.done, *self._row_shape))
        for start in range(0, self.done, size):
            yield np.array(rows[start : start + size])

    def _write(self, data: bytes, mode: str = "ab") -> None:
        try:
            with open(self._path, mode) as file:
                file.write(data)
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror}") from error


def fingerprint_of(checkpoint: Path, images: CheckedImages, params: Params, batch_size: int) -> dict[str, Any]:
    """A fingerprint of what an embedding depends on wherever it is made: digests by name, and the batch size.

    Args:
        checkpoint: path without suffix.
        images: the whole list, of which a shard embeds a part.
        params: of the run.
        batch_size: images in every batch.
    """
    manifest = images.manifest
    files = sorted(checkpoint.parent.glob(f"{glob.escape(checkpoint.name)}.*"))
    texts = [json.dumps(strings.tolist()).encode() for strings in (manifest.identities, manifest.paths)]
    values = params.model_dump(include=set(_WITH_EFFECT))
    return {
        "checkpoint": _digest(file.read_bytes() for file in files),
        "list": _digest([*texts, images.orientations.tobytes()]),
        "params": _digest([json.dumps(values, sort_keys=True).encode()]),
        "batch_size": batch_size,
    }


def _digest(blocks: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _difference(before: bytes, origin: dict[str, Any]) -> str:
    """What the rows of a file depended on, where that differs from `origin`, in words."""
    try:
        old = json.loads(before)
        names = [name for name in origin if old.get(name) != origin[name]]
    except (ValueError, AttributeError):
        names = []
    return f"they are of another {', '.join(names)}" if names else "their file is damaged"
