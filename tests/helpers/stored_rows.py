"""An array that behaves as embeddings in a file."""

import numpy as np

from model.metrics.rows import StoredRows


class ArrayRows(StoredRows):
    """Counts the rows that are read."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array.shape)
        self.array, self.rows_read = array, 0

    def read(self, start: int, stop: int) -> np.ndarray:
        self.rows_read += stop - start
        return self.array[start:stop].copy()
