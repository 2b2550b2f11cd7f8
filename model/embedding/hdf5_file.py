"""The HDF5 file of embeddings: writing it, and reading it back. Needs no TensorFlow.

Datasets: `emb` (N, D) float32 or float16; `path` and `identity` (N,) UTF-8 strings, in the same order;
`augmentation_types` (A,), the names of the variants in which each image was embedded, and `emb_aug` (A, N, D) where
these are several. Attributes: what made it. Files of older tools may have `emb` alone.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dataset.formats.manifest import Manifest
from model.embedding.disk_errors import ErrorKeepingFile
from runtime.errors import UserError

_BLOCK_BYTES = 2**25  # looked at together


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


@dataclass(frozen=True)
class Contents:
    """What a file of embeddings is to hold beside the embeddings themselves.

    Attributes:
        paths, identities: (N,) of the images.
        dimensions: D.
        types: (A,) names of the variants.
        half: store float16 instead of float32.
        attributes: what made the file.
    """

    paths: np.ndarray
    identities: np.ndarray
    dimensions: int
    types: tuple[str, ...]
    half: bool
    attributes: dict[str, Any]

    @property
    def dtype(self) -> type:
        return np.float16 if self.half else np.float32


# Of rows start .. start + n - 1: (start, emb (n, D), emb_aug (A, n, D) or None where there is one variant).
Block = tuple[int, np.ndarray, np.ndarray | None]


def write_blocks(file: Path, contents: Contents, blocks: Iterable[Block]) -> None:
    """Writes the file as a whole, under a temporary name, then renamed; holds one block in memory.

    Equal embeddings make equal files, byte for byte, however they come in blocks: HDF5 stores them in one piece, and no
    time of day.

    Raises:
        UserError: when it cannot be written, or an embedding is too large for half precision.
    """
    file = Path(file)
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with open(temporary, "w+b", buffering=0) as written:
            with ErrorKeepingFile(written) as disk, h5py.File(disk, "w") as h5:
                _fill(h5, contents, blocks, disk.check)
            os.fsync(written.fileno())
        temporary.replace(file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _fill(h5: h5py.File, contents: Contents, blocks: Iterable[Block], check: Callable[[], None]) -> None:
    """Writes all there is; calls `check` where much was written, so that a full disk ends it."""
    text = h5py.string_dtype("utf-8")
    count, variants = len(contents.paths), len(contents.types)
    h5.create_dataset("path", data=contents.paths, dtype=text)
    h5.create_dataset("identity", data=contents.identities, dtype=text)
    h5.create_dataset("augmentation_types", data=np.array(contents.types, object), dtype=text)
    h5.attrs.update(sorted(contents.attributes.items()))  # read back, they come in this order
    emb = h5.create_dataset("emb", (count, contents.dimensions), contents.dtype)
    if variants > 1:
        emb_aug = h5.create_dataset("emb_aug", (variants, count, contents.dimensions), contents.dtype)
    check()
    for start, block, each in blocks:
        stop = start + len(block)
        emb[start:stop] = _stored(block, contents, start)
        if variants > 1:
            for number, values in enumerate(each):
                emb_aug[number, start:stop] = _stored(values, contents, start)
        check()


def write_embeddings(file: Path, emb: np.ndarray, manifest: Manifest, attributes: dict[str, Any]) -> None:
    """Writes embeddings (N, D) of the images of a list, float32, one variant.

    Raises:
        UserError: when it cannot be written.
    """
    emb = np.asarray(emb, np.float32)
    contents = Contents(manifest.paths, manifest.identities, emb.shape[1], ("original",), False, attributes)
    write_blocks(file, contents, [(0, emb, None)])


def _stored(values: np.ndarray, contents: Contents, start: int) -> np.ndarray:
    """(n, D) as they are stored."""
    if not contents.half:
        return values
    largest = np.abs(values).max(axis=1)
    if (too_large := largest > np.finfo(np.float16).max).any():
        row = int(too_large.argmax())
        raise UserError(
            f"{contents.paths[start + row]}: its embedding has a value of {largest[row]:.3g}, too large for --float16; "
            f"leave that out"
        )
    return values.astype(np.float16)


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
            if emb_aug.shape[1:] != emb.shape:
                raise UserError(f"{file}: 'emb' is {_by(emb.shape)}, but 'emb_aug' {_by(emb_aug.shape)}")
            if types is not None and len(types) != len(emb_aug):
                raise UserError(f"{file}: 'emb_aug' has {len(emb_aug)} variants, 'augmentation_types' {len(types)}")
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
        UserError: as `read_embeddings`; and when the number of rows, a path or an identity differs: names the first.
    """
    embeddings = read_embeddings(file, variants=False)
    remedy = f"embed that list again: embed.py --dataset {manifest.source} --filename {file}"
    if "shard" in embeddings.attributes:
        remedy = f"it is shard {embeddings.attributes['shard']}: join all of them with embed.py merge"
    told = [
        ("path", embeddings.paths, manifest.paths),
        ("identity", embeddings.identities, manifest.identities),
    ]
    common = min(len(embeddings), len(manifest))
    firsts = {}
    for name, ours, theirs in told:
        if ours is not None and (different := np.flatnonzero(ours[:common] != theirs[:common])).size:
            firsts[name] = int(different[0]), ours, theirs
    where = ""
    if firsts:
        name = min(firsts, key=lambda name: firsts[name][0])
        row, ours, theirs = firsts[name]
        where = f"row {row + 1} has {name} {ours[row]!r}, but {manifest.source} has {theirs[row]!r} there"
    if len(embeddings) != len(manifest):
        counts = f"{len(embeddings):,} embeddings, but {manifest.source} lists {len(manifest):,} images"
        fewer = (
            " (with broken images left out? then remove these from the list)" if len(embeddings) < len(manifest) else ""
        )
        raise UserError(f"{file}: {counts}{fewer}{'; the first that differs: ' + where if where else ''}; {remedy}")
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
        raise UserError(f"{file}: {_why_unreadable(Path(file), error)}") from error
    with h5:
        try:
            yield h5
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{file}: a damaged HDF5 file ({reason}); embed the images again") from error


def _why_unreadable(file: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file; embed.py --filename writes it"
    if file.is_dir():
        return "is a folder, not a file of embeddings"
    if isinstance(error, (PermissionError, BlockingIOError)):
        return f"cannot be read: {'permission denied' if isinstance(error, PermissionError) else 'it is being written'}"
    with open(file, "rb") as stream:
        start = stream.read(8)
    if not start:
        return "an empty file; embed the images again"
    if start == b"\x89HDF\r\n\x1a\n"[: len(start)]:
        return "an HDF5 file that was cut short or damaged; copy it again, or embed the images again"
    return "not a readable HDF5 file; embeddings are what embed.py writes"


def _dataset(file: Path, h5: h5py.File, name: str) -> h5py.Dataset | None:
    found = h5.get(name)
    if found is not None and not isinstance(found, h5py.Dataset):
        raise UserError(f"{file}: {name!r} is a group in it, not a dataset; was it written by embed.py?")
    return found


def _numbers(file: Path, h5: h5py.File, name: str, axes: tuple[str, ...]) -> np.ndarray:
    """A dataset of numbers with these axes, none of them empty, as float32."""
    found = _dataset(file, h5, name)
    if found is None:
        have = ", ".join(sorted(h5)) or "nothing"
        raise UserError(f"{file}: no dataset {name!r} in it, but {have}; was it written by embed.py?")
    if found.shape is None or found.dtype.kind not in "fiu":
        raise UserError(f"{file}: {name!r} holds no numbers but {found.dtype}; was it written by embed.py?")
    if len(found.shape) != len(axes):
        raise UserError(f"{file}: {name!r} is of shape {found.shape}; it must be ({', '.join(axes)})")
    if 0 in found.shape:
        raise UserError(f"{file}: {name!r} is empty: {_by(found.shape)} ({', '.join(axes)})")
    return found.astype(np.float32)[:]  # converted as it is read: there is no second array


def _strings(file: Path, h5: h5py.File, name: str, count: int | None) -> np.ndarray | None:
    """A dataset of `count` strings: (count,) object; None where there is none."""
    found = _dataset(file, h5, name)
    if found is None:
        return None
    if h5py.check_string_dtype(found.dtype) is None or found.shape is None or len(found.shape) != 1:
        raise UserError(f"{file}: {name!r} is no list of strings; was it written by embed.py?")
    if count is not None and len(found) != count:
        raise UserError(f"{file}: {count:,} embeddings, but {len(found):,} values of {name!r}; embed the images again")
    return found.asstr("utf-8")[:]


def _check_finite(file: Path, values: np.ndarray, paths: np.ndarray | None) -> None:
    size = max(1, _BLOCK_BYTES // (4 * values.shape[1]))
    for start in range(0, len(values), size):
        bad = ~np.isfinite(values[start : start + size]).all(axis=1)
        if bad.any():
            row = start + int(bad.argmax())
            of = "" if paths is None else f" ({paths[row]})"
            raise UserError(
                f"{file}: the embedding of row {row + 1}{of} is not finite; embed with an earlier checkpoint"
            )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{n:,}" for n in shape)
