"""One embedding for several images: tracklets of videos, and multi-queries."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from dataset.formats.manifest import Manifest
from model.metrics.rows import AT_ONCE, Rows, StoredRows
from model.metrics.vectors import unit_rows
from runtime.errors import UserError

Embeddings = TypeVar("Embeddings", np.ndarray, Rows)


def _mean(emb: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(emb, starts, dtype=np.float64) / counts[:, None]


def _maximum(emb: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.maximum.reduceat(emb, starts)


def _normalized_mean(emb: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return _mean(unit_rows(emb.astype(np.float64)), starts, counts)


POOLINGS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": _mean,
    "max": _maximum,
    "normalized_mean": _normalized_mean,
}


def pool_sequences(emb: Embeddings, manifest: Manifest, how: str) -> tuple[Embeddings, Manifest]:
    """One embedding per sequence (tracklet) of an identity in a camera; images without a sequence stay single.

    Source: Zheng et al., MARS: A Video Benchmark for Large-Scale Person Re-Identification, ECCV 2016, section 4.2.

    Args:
        emb: (N, D); stored ones are pooled whenever they are read.
        manifest: N images.
        how: one of `POOLINGS`: mean, maximum, or mean of the embeddings divided by their length.

    Returns:
        (N', D) in the order of the sequences' first images, and their labels, each with the path of its first image.

    Raises:
        UserError: when no image has a sequence.
    """
    sequences = manifest.sequences
    if sequences is None or not any(sequences):
        raise UserError(f"{manifest.source}: no image has a sequence to pool; add a column sequence to the CSV")
    own = [sequence or (number,) for number, sequence in enumerate(sequences)]  # no sequence: a key of its own
    return _pool(emb, manifest, own, how)


def pool_queries(emb: Embeddings, manifest: Manifest, how: str) -> tuple[Embeddings, Manifest]:
    """One embedding per identity and camera: a multi-query.

    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015, section 5.1.

    Raises:
        UserError: when the images' cameras are not known.
    """
    if manifest.cameras is None:
        raise UserError(f"{manifest.source}: a multi-query needs cameras; add a column camera to the CSV")
    return _pool(emb, manifest, [""] * len(manifest), how)


def _pool(emb: Embeddings, manifest: Manifest, keys: list[Any], how: str) -> tuple[Embeddings, Manifest]:
    cameras = [None] * len(manifest) if manifest.cameras is None else manifest.cameras
    codes: dict[tuple[Any, ...], int] = {}
    groups = np.array(
        [codes.setdefault(key, len(codes)) for key in zip(manifest.identities, cameras, keys, strict=True)]
    )
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    chosen = manifest.select(order[starts])
    if isinstance(emb, StoredRows):
        return _Pooled(emb, order, np.append(starts, len(order)), how), chosen
    pooled = POOLINGS[how](emb[order], starts, np.diff(starts, append=len(groups)))
    return pooled.astype(np.float32), chosen


class _Pooled(StoredRows):
    """Stored embeddings, pooled: row g is made of the rows `order[ends[g]:ends[g + 1]]`."""

    def __init__(self, emb: StoredRows, order: np.ndarray, ends: np.ndarray, how: str) -> None:
        super().__init__((len(ends) - 1, emb.shape[1]))
        self._emb, self._order, self._ends, self._pool = emb, order, ends, POOLINGS[how]

    def read(self, start: int, stop: int) -> np.ndarray:
        pooled, most = np.empty((stop - start, self.shape[1]), np.float32), max(1, AT_ONCE // self.shape[1])
        first = start
        while first < stop:  # some rows of `emb` at a time: those of a long sequence can be many
            last = int(np.searchsorted(self._ends, self._ends[first] + most, side="right")) - 1
            last = min(max(last, first + 1), stop)
            ends = self._ends[first : last + 1]
            rows = self._emb[self._order[ends[0] : ends[-1]]]
            pooled[first - start : last - start] = self._pool(rows, ends[:-1] - ends[0], np.diff(ends))
            first = last
        return pooled
