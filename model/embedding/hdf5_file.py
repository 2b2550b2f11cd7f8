"""HDF5 files of embeddings: writing and reading. Needs no TensorFlow.

Datasets: `emb` (N, D) float32 or float16; `path` and, if the list has them, `identity`, (N,) UTF-8 strings in the same
order; `augmentation_types` (A,), the names of each image's variants; and, for several variants, `emb_aug` (A, N, D).
Attributes: how the file was made. Files of older tools may have only `emb`.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dataset.formats.manifest import Manifest
from model.embedding.contents import Block, Contents
from runtime.errors import UserError
from runtime.files import UNSUPPORTED, remove_unfinished, replace_file
from runtime.hdf5 import open_hdf5


@dataclass(frozen=True)
class Embeddings:
    """The content of a file of embeddings.

    Attributes:
        emb: (N, D) float32.
        paths, identities: (N,) of the images; None if the file does not have them.
        attributes: how the file was made.
        emb_aug: (A, N, D) float32, of each variant; None if there is one variant, or if they were not read.
        augmentation_types: (A,) the variants' names; None if the file does not have them.
    """

    emb: np.ndarray
    paths: np.ndarray | None
    identities: np.ndarray | None
    attributes: dict[str, Any]
    emb_aug: np.ndarray | None = None
    augmentation_types: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.emb)


def write_blocks(file: Path, contents: Contents, blocks: Iterable[Block]) -> None:
    """Writes the file under a temporary name, then renames it; holds one block in memory.

    Equal embeddings make equal files, byte for byte, whatever the blocks: HDF5 stores them in one piece, without a
    time stamp.

    Raises:
        UserError: when the file cannot be written, or an embedding is too large for half precision.
    """
    file = Path(file)
    remove_unfinished(file)
    with replace_file(file, "wb") as written:
        # HDF5 crashes when a disk is full, so all the space it may need is allocated first.
        _allocate(written.fileno(), contents.most_bytes)
        h5py.File(empty := io.BytesIO(), "w").close()
        written.write(empty.getvalue())
        written.flush()
        with h5py.File(written.name, "r+", locking=False) as h5:  # no other process knows this name
            _fill(h5, contents, blocks)


def _allocate(descriptor: int, size: int) -> None:
    """Gives a file its space on disk, by writing it where the file system cannot reserve it."""
    try:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(descriptor, 0, size)
            return
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    for start in range(0, size, 2**20):
        os.pwrite(descriptor, bytes(min(2**20, size - start)), start)


def _fill(h5: h5py.File, contents: Contents, blocks: Iterable[Block]) -> None:
    text = h5py.string_dtype("utf-8")
    count, variants = len(contents.paths), len(contents.types)
    h5.create_dataset("path", data=contents.paths, dtype=text)
    if contents.identities is not None:
        h5.create_dataset("identity", data=contents.identities, dtype=text)
    h5.create_dataset("augmentation_types", data=np.array(contents.types, object), dtype=text)
    h5.attrs.update(sorted(contents.attributes.items()))  # read back, they come in this order
    emb = h5.create_dataset("emb", (count, contents.dimensions), contents.dtype)
    if variants > 1:
        emb_aug = h5.create_dataset("emb_aug", (variants, count, contents.dimensions), contents.dtype)
    start = 0
    for block, each in blocks:
        stop = start + len(block)
        emb[start:stop] = contents.stored(block, start)
        if each is not None:
            for number, values in enumerate(each):
                emb_aug[number, start:stop] = contents.stored(values, start)
        start = stop


def read_embeddings(file: Path, *, variants: bool = True) -> Embeddings:
    """Reads a file of embeddings; half precision becomes float32.

    Args:
        file: written by embed.py, or by an older tool that wrote only `emb`.
        variants: also read `emb_aug`, which is A times larger than `emb`.

    Raises:
        UserError: when the file is missing, truncated, not HDF5 or has other datasets, or an embedding is NaN or
            infinite.
    """
    with opened(file) as h5:
        emb = _numbers(file, h5, "emb", ("images", "dimensions"))
        paths, identities = (_strings(file, h5, name, len(emb)) for name in ("path", "identity"))
        emb_aug, types = None, _strings(file, h5, "augmentation_types", None)
        if variants and "emb_aug" in h5:
            emb_aug = _numbers(file, h5, "emb_aug", ("variants", "images", "dimensions"))
            expected = (len(emb_aug) if types is None else len(types), *emb.shape)
            if emb_aug.shape != expected:
                raise UserError(
                    f"{file}: 'emb_aug' has shape {emb_aug.shape}, but the other datasets require {expected}; "
                    "embed the images again"
                )
        attributes = dict(h5.attrs)
    for values in (emb, *(() if emb_aug is None else emb_aug)):
        _check_finite(file, values, paths)
    return Embeddings(emb, paths, identities, attributes, emb_aug, None if types is None else tuple(types))


def embeddings_of(file: Path, manifest: Manifest) -> tuple[Embeddings, bool]:
    """Reads the embeddings of a list of images, and checks that they are in the order of the list.

    Returns:
        The embeddings, without `emb_aug`, and whether the file has paths. Without paths (older tools), only the number
        of rows can be checked.

    Raises:
        UserError: as `read_embeddings`; and when the number of rows, a path or an identity differs; names one row.
    """
    embeddings = read_embeddings(file, variants=False)
    remedy = f"embed that list again: embed.py --dataset {manifest.source} --filename {file}"
    if "shard" in embeddings.attributes:
        remedy = f"it is shard {embeddings.attributes['shard']}: join all shards with embed.py merge"
    common, where = min(len(embeddings), len(manifest)), ""
    for name, ours, theirs in (
        ("identity", embeddings.identities, manifest.identities),
        ("path", embeddings.paths, manifest.paths),  # last: a path says more than an identity
    ):
        if ours is not None and (rows := np.flatnonzero(ours[:common] != theirs[:common])).size:
            row = rows[0]
            where = f"row {row + 1} has {name} {ours[row]!r}, but {manifest.source} has {theirs[row]!r} there"
    if len(embeddings) != len(manifest):
        counts = f"{len(embeddings):,} embeddings, but {manifest.source} lists {len(manifest):,} images"
        if len(embeddings) < len(manifest):
            counts += " (if broken images were skipped, remove them from the list)"
        raise UserError(f"{file}: {counts}{'; the first difference: ' + where if where else ''}; {remedy}")
    if where:
        raise UserError(f"{file}: {where}; {remedy}")
    return embeddings, embeddings.paths is not None


def trained_metric(attributes: Iterable[dict[str, Any]]) -> str | None:
    """The metric of the training, if the `params` in the attributes of all files name the same one."""
    found = set()
    for each in attributes:
        try:
            found.add(json.loads(each["params"])["metric"])
        except (KeyError, TypeError, ValueError):
            return None
    return found.pop() if len(found) == 1 else None


@contextlib.contextmanager
def opened(file: Path) -> Iterator[h5py.File]:
    """The file, open for reading. Errors of h5py, also inside the block, become UserErrors that name the file."""
    try:
        h5 = open_hdf5(file)
    except OSError as error:
        reason = "not a complete HDF5 file (empty, truncated, or another format); embed the images again, to a .h5 file"
        raise UserError(f"{file}: {os.strerror(error.errno) if error.errno else reason}") from error
    with h5:
        try:
            yield h5
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{file}: the HDF5 file is damaged ({reason}); embed the images again") from error


def _numbers(file: Path, h5: h5py.File, name: str, axes: tuple[str, ...]) -> np.ndarray:
    """A dataset of numbers with these axes, none of them empty, converted to float32."""
    found = h5.get(name)
    if not isinstance(found, h5py.Dataset):
        have = ", ".join(sorted(h5)) or "nothing"
        raise UserError(f"{file}: no dataset {name!r} in it (it has {have}); was it written by embed.py?")
    if found.dtype.kind not in "fiu" or len(found.shape or ()) != len(axes) or 0 in found.shape:
        must = f"numbers of shape ({', '.join(axes)}), not empty"
        raise UserError(f"{file}: {name!r} is {found.dtype} of shape {found.shape}; it must be {must}")
    return found.astype(np.float32)[:]  # converted while it is read: no second array


def _strings(file: Path, h5: h5py.File, name: str, count: int | None) -> np.ndarray | None:
    """A dataset of `count` strings: (count,) object; None if it is missing."""
    found = h5.get(name)
    if found is None:
        return None
    if h5py.check_string_dtype(found.dtype) is None or len(found.shape or ()) != 1:
        raise UserError(f"{file}: {name!r} is not a list of strings; was it written by embed.py?")
    if count is not None and len(found) != count:
        raise UserError(f"{file}: {count:,} embeddings, but {len(found):,} values of {name!r}; embed the images again")
    return found.asstr("utf-8")[:]


def _check_finite(file: Path, values: np.ndarray, paths: np.ndarray | None) -> None:
    bad = ~np.isfinite(values.sum(axis=1, dtype=np.float64))  # finite for finite float32
    if bad.any():
        row = int(bad.argmax())
        of = "" if paths is None else f" ({paths[row]})"
        raise UserError(
            f"{file}: the embedding in row {row + 1}{of} is NaN or infinite; embed again with an earlier checkpoint"
        )
