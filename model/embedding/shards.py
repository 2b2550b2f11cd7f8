"""A list embedded in parts, by several processes or machines, and the parts joined to the file of the whole list.

A shard's file has two attributes more than that of a whole list: `shard`, such as "2/3", and `shard_of`, a JSON object
of the number of images of the whole list and of what its embeddings depend on.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from model.embedding.contents import Block, Contents
from model.embedding.hdf5_file import opened
from model.embedding.outputs import check_contents, write_output
from runtime.errors import UserError

_BLOCK_BYTES = 2**25  # copied together
# What the keys of shard_of mean to a user.
_MEANINGS = {
    "checkpoint": "checkpoint",
    "list": "list of images",
    "params": "parameters",
    "batch_size": "batch size",
}


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, images: int) -> tuple[int, int]:
        """Its part of a list of `images`: from the first row to before the second one; parts differ by one at most."""
        return images * (self.number - 1) // self.of, images * self.number // self.of


def parse_shard(text: str) -> Shard:
    """Reads "i/n". The parts are 1/n .. n/n; 0/n is n/n, so that counting from 0 gives all parts as well.

    Raises:
        UserError: for anything else.
    """
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 0 <= int(number) <= int(of) and int(of)):
        raise UserError(f"--shard {text}: it must be i/n with i from 1 to n, such as 2/3 for the second of three parts")
    return Shard(int(number) or int(of), int(of))


@dataclass(frozen=True)
class _Part:
    """What a shard's file holds, except the embeddings; `common` is what it must have in common with the others."""

    file: Path
    shard: Shard
    common: dict[str, Any]
    contents: Contents


def merge(out: Path, files: list[Path]) -> tuple[int, int]:
    """Joins the files of all shards, given in any order, to that of the whole list.

    The ending of `out` tells its form. The file is the same, byte for byte, as if the list had been embedded in one
    piece. A block of embeddings is in memory at a time, and all paths.

    Returns:
        (N, D).

    Raises:
        UserError: when a part is missing, given twice, of something else, or cannot be read.
    """
    parts = sorted((_read_part(Path(file)) for file in files), key=lambda part: part.shard.number)
    first = parts[0]
    for part in parts[1:]:
        if differs := [what for what, value in first.common.items() if part.common[what] != value]:
            raise UserError(f"{first.file} and {part.file} do not belong together: another {differs[0]}")
    _check_complete(parts)
    identities = [part.contents.identities for part in parts if part.contents.identities is not None]
    contents = dataclasses.replace(
        first.contents,
        paths=np.concatenate([part.contents.paths for part in parts]),
        identities=np.concatenate(identities) if identities else None,
        attributes={
            name: value for name, value in first.contents.attributes.items() if name not in ("shard", "shard_of")
        },
    )
    check_contents(out, contents.paths)
    write_output(out, contents, _blocks(parts))
    return len(contents.paths), contents.dimensions


def _read_part(file: Path) -> _Part:
    with opened(file) as h5:
        attributes = dict(h5.attrs)
        if not {"shard", "shard_of"} <= set(attributes):
            raise UserError(f"{file}: it is no shard, but embeddings of a whole list; merge takes what --shard wrote")
        emb, paths = h5["emb"], h5["path"].asstr()[:]
        identities = h5["identity"].asstr()[:] if "identity" in h5 else None
        types = tuple(h5["augmentation_types"].asstr()[:])
        try:
            shard, whole = parse_shard(attributes["shard"]), json.loads(attributes["shard_of"])
            start, stop = shard.rows(whole["images"])
        except (UserError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{file}: its attributes 'shard' and 'shard_of' are damaged; make it again") from error
        expected = (stop - start, *emb.shape[1:])
        if emb.shape != expected or (len(types) > 1 and h5["emb_aug"].shape != (len(types), *expected)):
            raise UserError(
                f"{file}: {emb.shape[0]} embeddings in shard {shard}, which has {stop - start}; make it again"
            )
        common = {meaning: whole.get(key) for key, meaning in _MEANINGS.items()}
        common |= {"number of parts": shard.of, "augmentation": types, "aggregator": attributes.get("aggregator")}
        contents = Contents(paths, identities, emb.shape[1], types, emb.dtype == np.float16, attributes)
        return _Part(file, shard, common | {"precision": contents.half}, contents)


def _check_complete(parts: list[_Part]) -> None:
    """Raises a UserError when one of the sorted parts is missing or there twice."""
    for one, two in pairwise(parts):
        if one.shard == two.shard:
            raise UserError(f"{one.file} and {two.file} are both shard {one.shard}; give it once")
    there = {part.shard.number for part in parts}
    missing = [f"{number}/{parts[0].shard.of}" for number in range(1, parts[0].shard.of + 1) if number not in there]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"shard {', '.join(missing[:3])}{more} is missing beside {parts[0].file}; "
            f"embed.py --shard {missing[0]} with the same arguments makes it"
        )


def _blocks(parts: list[_Part]) -> Iterator[Block]:
    """The embeddings of all parts in order, a bounded number at a time."""
    for part in parts:
        count, several = len(part.contents.paths), len(part.contents.types) > 1
        size = max(1, count * _BLOCK_BYTES // part.contents.most_bytes)
        with opened(part.file) as h5:
            for start in range(0, count, size):
                rows = slice(start, start + size)
                yield h5["emb"][rows], h5["emb_aug"][:, rows] if several else None
