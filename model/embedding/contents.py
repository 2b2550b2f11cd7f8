"""The contents of a file of embeddings, whatever its format. Needs no TensorFlow."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.errors import UserError

# The next n rows: emb (n, D), and emb_aug (A, n, D), or None if there is one variant.
Block = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Contents:
    """What a file of embeddings holds in addition to the embeddings.

    Attributes:
        paths: (N,) of the images.
        identities: (N,) of the images; None if they are not known.
        dimensions: D.
        types: (A,) names of the variants.
        half: store float16 instead of float32.
        attributes: how the file was made.
    """

    paths: np.ndarray
    identities: np.ndarray | None
    dimensions: int
    types: tuple[str, ...]
    half: bool
    attributes: dict[str, Any]

    @property
    def dtype(self) -> type[np.floating]:
        return np.float16 if self.half else np.float32

    @property
    def most_bytes(self) -> int:
        """Upper bound for the size of an HDF5 file: the embeddings, and strings with their overhead."""
        variants = len(self.types)
        values = len(self.paths) * self.dimensions * (1 + variants if variants > 1 else 1)
        strings = [*self.paths, *(() if self.identities is None else self.identities)]
        text = sum(len(text.encode()) + 64 for text in strings)
        return values * np.dtype(self.dtype).itemsize + text * 5 // 4 + 2**17

    def stored(self, values: np.ndarray, start: int) -> np.ndarray:
        """The rows from `start` on, (n, D), in the dtype of the file.

        Raises:
            UserError: for a value that is too large for half precision.
        """
        if not self.half:
            return values
        largest = np.abs(values).max(axis=1)
        if (too_large := largest > np.finfo(np.float16).max).any():
            row = int(too_large.argmax())
            raise UserError(
                f"{self.paths[start + row]}: its embedding has a value of {largest[row]:.3g}, too large for --float16; "
                f"drop that flag"
            )
        return values.astype(np.float16)
