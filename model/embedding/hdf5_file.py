"""HDF5 files of embeddings: writing and reading. Needs no TensorFlow.

Datasets: `emb` (N, D) float32 or float16; `path` and, if the list has them, `identity`, (N,) UTF-8 strings in the same
order; `augmentation_types` (A,), the names of each image's variants; and, for several variants, `emb_aug` (A, N, D).
Attributes: how the file was made. Files of older tools may have only `emb`.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dataset.formats import hdf5
from dataset.formats.manifest import Manifest
from model.embedding.contents import Block, Contents
from runtime.child import ChildError, run_in_child
from runtime.errors import UserError
from runtime.files import UNSUPPORTED, remove_unfinished, replace_file
from runtime.input_files import check_file

_AXES = {"emb": ("images", "dimensions"), "emb_aug": ("variants", "images", "dimensions")}
_PLAIN = (str, bytes, int, float, np.generic, np.ndarray)  # kinds of attributes
_REMEDY = "embed the images again, to a .h5 file"


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
        UserError: when the file is missing, locked, truncated, not HDF5, refers to other files, has other datasets, or
            an embedding is NaN or infinite.
    """
    described = describe(file)
    shapes, strings = described.shapes, described.strings
    types = strings.get("augmentation_types")
    if variants and "emb_aug" in shapes:
        expected = (shapes["emb_aug"][0] if types is None else len(types), *shapes["emb"])
        if shapes["emb_aug"] != expected:
            raise UserError(
                f"{file}: 'emb_aug' has shape {shapes['emb_aug']}, but the other datasets require {expected}; {_REMEDY}"
            )
    with opened(file) as h5:  # converted while they are read: no second arrays
        emb = h5["emb"].astype(np.float32)[:]
        emb_aug = h5["emb_aug"].astype(np.float32)[:] if variants and "emb_aug" in shapes else None
    paths, identities = strings.get("path"), strings.get("identity")
    for values in (emb, *(() if emb_aug is None else emb_aug)):
        check_finite(file, values, paths, 0)
    return Embeddings(emb, paths, identities, described.attributes, emb_aug, None if types is None else tuple(types))


def embeddings_of(file: Path, manifest: Manifest) -> tuple[Embeddings, bool]:
    """Reads the embeddings of a list of images, and checks that they are in the order of the list.

    Returns:
        The embeddings, without `emb_aug`, and whether the file has paths. Without paths (older tools), only the number
        of rows can be checked.

    Raises:
        UserError: as `read_embeddings`; and when the number of rows, a path or an identity differs; names one row.
    """
    embeddings = read_embeddings(file, variants=False)
    strings = {"path": embeddings.paths, "identity": embeddings.identities}
    check_order(file, manifest, len(embeddings), strings, embeddings.attributes)
    return embeddings, embeddings.paths is not None


def check_order(
    file: Path, manifest: Manifest, count: int, strings: Mapping[str, np.ndarray | None], attributes: dict[str, Any]
) -> None:
    """Raises a `UserError` unless a file's `count` embeddings are those of the list, as far as it has their names."""
    remedy = f"embed that list again: embed.py --dataset {manifest.source} --filename {file}"
    if "shard" in attributes:
        remedy = f"it is shard {attributes['shard']}: join all shards with embed.py merge"
    common, where = min(count, len(manifest)), ""
    for name, theirs in (
        ("identity", manifest.identities),
        ("path", manifest.paths),  # last: a path says more than an identity
    ):
        ours = strings.get(name)
        if ours is not None and (rows := np.flatnonzero(ours[:common] != theirs[:common])).size:
            row = rows[0]
            where = f"row {row + 1} has {name} {ours[row]!r}, but {manifest.source} has {theirs[row]!r} there"
    if count != len(manifest):
        counts = f"{count:,} embeddings, but {manifest.source} lists {len(manifest):,} images"
        if count < len(manifest):
            counts += " (if broken images were skipped, remove them from the list)"
        raise UserError(f"{file}: {counts}{'; the first difference: ' + where if where else ''}; {remedy}")
    if where:
        raise UserError(f"{file}: {where}; {remedy}")


def trained_metric(attributes: Iterable[dict[str, Any]]) -> str | None:
    """The metric of the training, if the `params` in the attributes of all files name the same one."""
    found = set()
    for each in attributes:
        try:
            found.add(json.loads(each["params"])["metric"])
        except (KeyError, TypeError, ValueError, RecursionError):
            return None
    return found.pop() if len(found) == 1 else None


def opened(file: Path) -> contextlib.AbstractContextManager[h5py.File]:
    """The file, open for reading. Errors become UserErrors that name the file."""
    return hdf5.opened(file, _REMEDY)


@dataclass(frozen=True)
class Description:
    """A file of embeddings without its numbers.

    Attributes:
        shapes: name of a dataset of numbers -> its shape; `emb` and, if the file has it, `emb_aug`.
        half: whether `emb` is float16.
        strings: name -> (N,) object: `path`, `identity` and `augmentation_types`, as far as the file has them.
        attributes: how the file was made.
    """

    shapes: dict[str, tuple[int, ...]]
    half: bool
    strings: dict[str, np.ndarray]
    attributes: dict[str, Any]


def describe(file: Path) -> Description:
    """Everything but the numbers of a file of embeddings; checks that the numbers can be read.

    A process of its own reads it, since HDF5 can hang or crash on damaged files.

    Raises:
        UserError: as `read_embeddings`.
    """
    check_file(file)
    size = Path(file).stat().st_size
    try:
        (described,) = run_in_child(_describe, file, seconds=8 + size / 2e6, memory=2**31 + 4 * size)
    except (ChildError, ValueError) as error:
        raise UserError(f"{file}: the HDF5 file is damaged ({error}); {_REMEDY}") from error
    return described


def _describe(file: Path) -> Iterator[Description]:
    with opened(file) as h5:
        shapes, half = {}, False
        for name, axes in _AXES.items():
            if name == "emb" or name in h5:
                found = _numbers(file, h5, name, axes)
                shapes[name], half = found.shape, half or found.dtype == np.float16
                for chunk in found.iter_chunks() if found.chunks else ():
                    found[chunk]  # damage is found here, instead of in the process that needs the numbers
        texts = {name: _strings(file, h5, name, shapes["emb"][0]) for name in ("path", "identity")}
        texts["augmentation_types"] = _strings(file, h5, "augmentation_types", None)
        attributes = {name: value for name, value in h5.attrs.items() if isinstance(value, _PLAIN)}
    yield Description(shapes, half, {name: text for name, text in texts.items() if text is not None}, attributes)


def _numbers(file: Path, h5: h5py.File, name: str, axes: tuple[str, ...]) -> h5py.Dataset:
    """A dataset of numbers with these axes, none of them empty."""
    found = hdf5.find_dataset(h5, name)
    if found is None:
        have = ", ".join(sorted(h5)) or "nothing"
        raise UserError(f"{file}: no dataset {name!r} in it (it has {have[:200]}); was it written by embed.py?")
    if found.dtype.kind not in "fiu" or len(found.shape or ()) != len(axes) or 0 in found.shape:
        must = f"numbers of shape ({', '.join(axes)}), not empty"
        raise UserError(f"{file}: {name!r} is {found.dtype} of shape {found.shape}; it must be {must}")
    return found


def _strings(file: Path, h5: h5py.File, name: str, count: int | None) -> np.ndarray | None:
    """A dataset of `count` strings: (count,) object; None if it is missing."""
    found = hdf5.find_dataset(h5, name)
    if found is None:
        return None
    if h5py.check_string_dtype(found.dtype) is None or len(found.shape or ()) != 1:
        raise UserError(f"{file}: {name!r} is not a list of strings; was it written by embed.py?")
    if count is not None and len(found) != count:
        raise UserError(f"{file}: {count:,} embeddings, but {len(found):,} values of {name!r}; {_REMEDY}")
    texts = np.empty(len(found), object)
    for row, text in enumerate(found[:].tolist()):
        try:
            texts[row] = text.decode()
        except UnicodeDecodeError:
            what = f"{name!r} of row {row + 1} is {text[:100]!r}, which is not UTF-8"
            raise UserError(f"{file}: {what}; write the file again with UTF-8 names") from None
    return texts


def check_finite(file: Path, values: np.ndarray, paths: np.ndarray | None, start: int) -> None:
    """Raises a `UserError` for a NaN or infinite embedding among those (n, D) from row `start` on."""
    bad = ~np.isfinite(values.sum(axis=1, dtype=np.float64))  # finite for finite float32
    if bad.any():
        row = start + int(bad.argmax())
        of = "" if paths is None else f" ({paths[row]})"
        raise UserError(
            f"{file}: the embedding in row {row + 1}{of} is NaN or infinite; embed again with an earlier checkpoint"
        )
