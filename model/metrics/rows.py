"""Embeddings that stay in a file because they are larger than the memory: only the rows in use are read.

>>> import numpy as np
>>> from model.metrics.rows import take
>>> take(np.array([[0.0], [1], [2]]), np.array([2, 0])).tolist()
[[2.0], [0.0]]
"""

from collections.abc import Iterator

import numpy as np

AT_ONCE = 2**20  # numbers that are read together
NEAR = 2**14  # numbers between two rows that are read too, instead of starting again


class StoredRows:
    """Embeddings (N, D). Indexing reads rows, with a slice (without a step) or numbers (n,), as in an array."""

    dtype: type[np.floating] = np.float32

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape, self.ndim = shape, 2

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> np.ndarray:
        """The rows from `start` to before `stop`, a new array."""
        raise NotImplementedError

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            return self.read(*rows.indices(len(self))[:2])
        numbers, place = np.unique(rows % len(self), return_inverse=True)  # -1 is the last, as in an array
        found = np.empty((len(numbers), self.shape[1]), self.dtype)
        for run in self._runs(numbers):
            first = int(numbers[run.start])
            found[run] = self.read(first, int(numbers[run.stop - 1]) + 1)[numbers[run] - first]
        return found if np.array_equal(numbers, rows) else found[place]

    def _runs(self, numbers: np.ndarray) -> Iterator[slice]:
        """Slices of ascending numbers; those of a slice are near each other."""
        start, width = 0, self.shape[1]
        ends = np.flatnonzero(np.diff(numbers) * width > NEAR) + 1
        for end in (*ends.tolist(), len(numbers)):
            while start < end:
                stop = min(end, int(np.searchsorted(numbers, numbers[start] + max(1, AT_ONCE // width))))
                yield slice(start, stop)
                start = stop


Rows = np.ndarray | StoredRows


class Selected(StoredRows):
    """Some rows of others, by their numbers (n,)."""

    def __init__(self, rows: StoredRows, numbers: np.ndarray) -> None:
        super().__init__((len(numbers), rows.shape[1]))
        self._rows, self._numbers = rows, numbers

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._rows[self._numbers[start:stop]]


def take(emb: Rows, numbers: np.ndarray) -> Rows:
    """The rows with these numbers: an array of an array; of stored ones, still stored."""
    if len(numbers) == len(emb) and (np.diff(numbers, prepend=-1) == 1).all():
        return emb
    return Selected(emb, numbers) if isinstance(emb, StoredRows) else emb[numbers]
