"""Embeddings that stay in their HDF5 file, because they are larger than the memory. Needs no TensorFlow."""

from pathlib import Path

import numpy as np

from dataset.formats.manifest import Manifest
from model.embedding.hdf5_file import check_finite, check_order, describe, opened
from model.metrics.rows import AT_ONCE, StoredRows


class FileRows(StoredRows):
    """The embeddings of a list of images, whose order is checked; they are read when they are needed.

    Attributes:
        attributes: how the file was made.
        verified: whether the file has paths.

    Raises:
        UserError: as `hdf5_file.embeddings_of`; also later, when the file can no longer be read.
    """

    def __init__(self, file: Path, manifest: Manifest) -> None:
        described = describe(file)
        count, dimensions = described.shapes["emb"]
        super().__init__((count, dimensions))
        self._file, self.attributes = file, described.attributes
        check_order(file, manifest, count, described.strings, described.attributes)
        self.verified = "path" in described.strings
        self._paths = manifest.paths if self.verified else None

    def check(self) -> None:
        """Raises a `UserError` for a NaN or infinite embedding; reads the whole file."""
        step = max(1, AT_ONCE // self.shape[1])
        for start in range(0, len(self), step):
            check_finite(self._file, self[start : start + step], self._paths, start)

    def read(self, start: int, stop: int) -> np.ndarray:
        with opened(self._file) as h5:
            rows: np.ndarray = h5["emb"].astype(np.float32)[start:stop]  # converted while they are read
        return rows
