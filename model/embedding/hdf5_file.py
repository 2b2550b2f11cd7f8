"""The HDF5 file of embeddings: writing it, and reading it back. Needs no TensorFlow.

Datasets: `emb` (N, D) float32 or float16; `path` and, where the list tells them, `identity` (N,) UTF-8 strings, in the
same order; `augmentation_types` (A,), the names of the variants in which each image was embedded, and `emb_aug`
(A, N, D) where these are several. Attributes: what made it. Files of older tools may have `emb` alone.
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
from runtime.files import remove_unfinished, replace_file


@dataclass(frozen=True)
class Embeddings:
    """Embeddings as they are in a file.

    Attributes:
        emb: (N, D) float32.
        paths, identities: (N,) of the images; None in files that do not tell them.
        attributes: what made the file.
        emb_aug: (A, N, D) float32, of each variant of the images; None where there is one, or they were not asked for.
        augmentation_types: (A,) the variants' names; None in files that do not tell them.
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
    """Writes the file as a whole, under a temporary name, then renamed; holds one block in memory.

    Equal embeddings make equal files, byte for byte, however they come in blocks: HDF5 stores them in one piece, and no
    time of day.

    Raises:
        UserError: when it cannot be written, or an embedding is too large for half precision.
    """
    file = Path(file)
    remove_unfinished(file)
    with replace_file(file, "wb") as written:
        # HDF5 crashes when a disk is full, so that all the space it may need is taken before.
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(written.fileno(), 0, contents.most_bytes)
        h5py.File(empty := io.BytesIO(), "w").close()
        written.write(empty.getvalue())
        written.flush()
        with h5py.File(written.name, "r+") as h5:
            _fill(h5, contents, blocks)


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
        file: written by embed.py or by an older tool, which wrote `emb` alone.
        variants: read `emb_aug` too, which is A times as large as `emb`.

    Raises:
        UserError: when it is missing, cut short, no HDF5 file, of another form, or an embedding is not finite.
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
                    f"{file}: 'emb_aug' is of shape {emb_aug.shape}; beside the others it must be {expected}"
                )
        attributes = dict(h5.attrs)
    for values in (emb, *(() if emb_aug is None else emb_aug)):
        _check_finite(file, values, paths)
    return Embeddings(emb, paths, identities, attributes, emb_aug, None if types is None else tuple(types))


def embeddings_of(file: Path, manifest: Manifest) -> tuple[Embeddings, bool]:
    """Reads the embeddings of a list of images, and makes sure that they are those of that list, in its order.

    Returns:
        The embeddings, without `emb_aug`, and whether the file told the paths, so that they could be compared; an older
        file that does not is taken at its word if it has as many rows as the list.

    Raises:
        UserError: as `read_embeddings`; and when the number of rows, a path or an identity differs: names one row.
    """
    embeddings = read_embeddings(file, variants=False)
    remedy = f"embed that list again: embed.py --dataset {manifest.source} --filename {file}"
    if "shard" in embeddings.attributes:
        remedy = f"it is shard {embeddings.attributes['shard']}: join all of them with embed.py merge"
    common, where = min(len(embeddings), len(manifest)), ""
    for name, ours, theirs in (
        ("identity", embeddings.identities, manifest.identities),
        ("path", embeddings.paths, manifest.paths),  # which tells more
    ):
        if ours is not None and (rows := np.flatnonzero(ours[:common] != theirs[:common])).size:
            row = rows[0]
            where = f"row {row + 1} has {name} {ours[row]!r}, but {manifest.source} has {theirs[row]!r} there"
    if len(embeddings) != len(manifest):
        counts = f"{len(embeddings):,} embeddings, but {manifest.source} lists {len(manifest):,} images"
        if len(embeddings) < len(manifest):
            counts += " (with broken images left out? then remove these from the list)"
        raise UserError(f"{file}: {counts}{'; the first that differs: ' + where if where else ''}; {remedy}")
    if where:
        raise UserError(f"{file}: {where}; {remedy}")
    return embeddings, embeddings.paths is not None


def trained_metric(attributes: Iterable[dict[str, Any]]) -> str | None:
    """The metric that the networks were trained with, if the `params` among the files' attributes tell the same."""
    told = set()
    for each in attributes:
        try:
            told.add(json.loads(each["params"])["metric"])
        except (KeyError, TypeError, ValueError):
            return None
    return told.pop() if len(told) == 1 else None


@contextlib.contextmanager
def opened(file: Path) -> Iterator[h5py.File]:
    """The file, open for reading; what h5py raises, inside the block as well, becomes a UserError that names it."""
    try:
        h5 = h5py.File(file, "r")
    except OSError as error:
        reason = "not a whole HDF5 file: empty, cut short, or of another form; embed the images again, into a .h5 file"
        raise UserError(f"{file}: {os.strerror(error.errno) if error.errno else reason}") from error
    with h5:
        try:
            yield h5
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{file}: a damaged HDF5 file ({reason}); embed the images again") from error


def _numbers(file: Path, h5: h5py.File, name: str, axes: tuple[str, ...]) -> np.ndarray:
    """A dataset of numbers with these axes, none of them empty, as float32."""
    found = h5.get(name)
    if not isinstance(found, h5py.Dataset):
        have = ", ".join(sorted(h5)) or "nothing"
        raise UserError(f"{file}: no dataset {name!r} in it, but {have}; was it written by embed.py?")
    if found.dtype.kind not in "fiu" or len(found.shape or ()) != len(axes) or 0 in found.shape:
        must = f"numbers ({', '.join(axes)}), at least one"
        raise UserError(f"{file}: {name!r} is {found.dtype} of shape {found.shape}; it must be {must}")
    return found.astype(np.float32)[:]  # converted as it is read: there is no second array


def _strings(file: Path, h5: h5py.File, name: str, count: int | None) -> np.ndarray | None:
    """A dataset of `count` strings: (count,) object; None where there is none."""
    found = h5.get(name)
    if found is None:
        return None
    if h5py.check_string_dtype(found.dtype) is None or len(found.shape or ()) != 1:
        raise UserError(f"{file}: {name!r} is no list of strings; was it written by embed.py?")
    if count is not None and len(found) != count:
        raise UserError(f"{file}: {count:,} embeddings, but {len(found):,} values of {name!r}; embed the images again")
    return found.asstr("utf-8")[:]


def _check_finite(file: Path, values: np.ndarray, paths: np.ndarray | None) -> None:
    bad = ~np.isfinite(values.sum(axis=1, dtype=np.float64))  # which no sum of finite float32 reaches
    if bad.any():
        row = int(bad.argmax())
        of = "" if paths is None else f" ({paths[row]})"
        raise UserError(f"{file}: the embedding of row {row + 1}{of} is not finite; embed with an earlier checkpoint")
