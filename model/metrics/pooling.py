"""One embedding for several images: tracklets of videos, and multi-queries."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dataset.formats.manifest import Manifest
from model.metrics.vectors import unit_rows
from runtime.errors import UserError


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


def pool_sequences(emb: np.ndarray, manifest: Manifest, how: str) -> tuple[np.ndarray, Manifest]:
    """One embedding per sequence (tracklet) of an identity in a camera; images without a sequence stay single.

    Source: Zheng et al., MARS: A Video Benchmark for Large-Scale Person Re-Identification, ECCV 2016, section 4.2.

    Args:
        emb: (N, D).
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


def pool_queries(emb: np.ndarray, manifest: Manifest, how: str) -> tuple[np.ndarray, Manifest]:
    """One embedding per identity and camera: a multi-query.

    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015, section 5.1.

    Raises:
        UserError: when the images' cameras are not known.
    """
    if manifest.cameras is None:
        raise UserError(f"{manifest.source}: a multi-query needs cameras; add a column camera to the CSV")
    return _pool(emb, manifest, [""] * len(manifest), how)


def _pool(emb: np.ndarray, manifest: Manifest, keys: list[Any], how: str) -> tuple[np.ndarray, Manifest]:
    cameras = [None] * len(manifest) if manifest.cameras is None else manifest.cameras
    codes: dict[tuple[Any, ...], int] = {}
    groups = np.array(
        [codes.setdefault(key, len(codes)) for key in zip(manifest.identities, cameras, keys, strict=True)]
    )
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    pooled = POOLINGS[how](emb[order], starts, np.diff(starts, append=len(groups)))
    return pooled.astype(np.float32), manifest.select(order[starts])
