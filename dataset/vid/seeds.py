"""Random numbers of curation: from a seed and a purpose, never from the order in which things arrive."""

import zlib

import numpy as np


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator of its own for each (seed, purpose)."""
    return np.random.Generator(np.random.Philox([seed, zlib.crc32(purpose.encode())]))
