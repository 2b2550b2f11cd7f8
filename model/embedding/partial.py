"""Unfinished embeddings: rows appended to a file, from which a killed command resumes.

The file begins with a line of JSON, which says what the rows depend on. Then come rows (A, D) float32, one per image.
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
from runtime.files import writing

_BLOCK_BYTES = 2**25  # read together
_LONGEST_HEADER = 2**16  # bytes that are read of another one's, to say what differs
# The parameters on which reading images and inference depend. All others affect only the training or the speed.
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
    """The rows embedded so far, from this command or an earlier one.

    Attributes:
        done: number of rows.
        note: a line for the user about the rows of an earlier command; None if there are none.
    """

    def __init__(self, file: Path, origin: dict[str, Any], rows: int, variants: int, dimensions: int) -> None:
        """Resumes from the file if its rows have the same origin, else starts from scratch.

        Args:
            file: its path.
            origin: what the rows depend on; values that JSON can hold.
            rows, variants, dimensions: N, A and D of the complete file.

        Raises:
            UserError: when the file cannot be written.
        """
        self._path, self._row_shape, self._row_bytes = Path(file), (variants, dimensions), 4 * variants * dimensions
        header = (json.dumps(origin, sort_keys=True) + "\n").encode()
        self.done, self.note, self._header_bytes = 0, None, len(header)
        with writing(self._path):
            self._path.touch()
        with open(self._path, "rb") as kept:
            before = kept.readline(_LONGEST_HEADER + len(header))
        size = self._path.stat().st_size
        if before == header:
            self.done = min(rows, (size - len(header)) // self._row_bytes)
            os.truncate(self._path, len(header) + self.done * self._row_bytes)  # drop an incomplete row
            if self.done:
                self.note = f"resuming: {self.done:,} of {rows:,} images are already embedded"
        else:
            if size > len(before) > 0:
                self.note = f"starting from scratch: {_difference(before, origin)}"
            self._write(header, "wb")

    def append(self, rows: np.ndarray) -> None:
        """Appends rows (n, A, D) float32.

        Raises:
            UserError: when they cannot be written.
        """
        self._write(rows.tobytes())
        self.done += len(rows)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, a bounded number at a time: (n, A, D)."""
        size = max(1, _BLOCK_BYTES // self._row_bytes)
        with open(self._path, "rb") as file:
            file.seek(self._header_bytes)
            for start in range(0, self.done, size):
                rows = np.fromfile(file, np.float32, (min(size, self.done - start)) * self._row_bytes // 4)
                yield rows.reshape(-1, *self._row_shape)

    def _write(self, data: bytes, mode: str = "ab") -> None:
        with writing(self._path), open(self._path, mode) as file:
            file.write(data)


def fingerprint_of(checkpoint: Path, images: CheckedImages, params: Params, batch_size: int) -> dict[str, Any]:
    """A fingerprint of everything an embedding depends on, except the machine: digests by name, and the batch size.

    Args:
        checkpoint: path without suffix.
        images: the whole list, also for a shard.
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
    """In words, what differs between the origin of a file's rows and `origin`."""
    try:
        old = json.loads(before)
        names = [name for name in origin if old.get(name) != origin[name]]
    except (ValueError, AttributeError, RecursionError):
        names = []
    if not names:
        return "the unfinished embeddings of an earlier run are damaged"
    return f"the unfinished embeddings of an earlier run have another {', '.join(names)}"
