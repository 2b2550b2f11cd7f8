"""Shards: parts of a list, embedded by several processes or machines, and merged into one file.

The file of a shard has two additional attributes: `shard`, such as "2/3", and `shard_of`, a JSON object with the number
of images of the whole list and a fingerprint of everything the embeddings depend on.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from model.embedding.contents import Block, Contents
from model.embedding.hdf5_file import describe, opened
from model.embedding.outputs import check_contents, write_output
from runtime.errors import UserError
from runtime.workers import find_part

_BLOCK_BYTES = 2**25  # copied together
# The keys of shard_of, in words.
_MEANINGS = {
    "checkpoint": "checkpoint",
    "list": "list of images",
    "params": "parameters",
    "batch_size": "batch size",
}


@dataclass(frozen=True)
class Shard:
    """Part number `number` (from 1) of `of` parts."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, images: int) -> tuple[int, int]:
        """The first row of this part of a list of `images`, and the one after its last; sizes differ by at most one."""
        return images * (self.number - 1) // self.of, images * self.number // self.of


def parse_shard(text: str) -> Shard:
    """Reads "i/n". The parts are 1/n .. n/n. 0/n is n/n, for those who count from 0.

    Raises:
        UserError: for anything else.
    """
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 0 <= int(number) <= int(of) and int(of)):
        raise UserError(
            f"--shard {text} is invalid; use i/n with i from 1 to n, such as 2/3 for the second of three parts, or auto"
        )
    return Shard(int(number) or int(of), int(of))


def shard_of_task(environ: Mapping[str, str] | None = None) -> Shard:
    """The part of this task of a job, for `--shard auto`: SLURM or TF_CONFIG in the environment describes the job.

    Raises:
        UserError: outside a job of several tasks.
    """
    part = find_part(environ)
    if part is None:
        raise UserError(
            "--shard auto: this is no job of several tasks; start it with srun, in a SLURM job array, or with "
            "TF_CONFIG; or give every task its own part, such as --shard 2/3"
        )
    return Shard(part[0] + 1, part[1])


def shard_file(out: Path, shard: Shard) -> Path:
    """The file of a shard, where all tasks of a job have the same --filename: `out.2-of-3.h5` for `out.h5`."""
    return out.with_name(f"{out.stem}.{shard.number}-of-{shard.of}{out.suffix}")


@dataclass(frozen=True)
class _Part:
    """The content of a shard's file, without the embeddings; all shards must have equal `common`."""

    file: Path
    shard: Shard
    common: dict[str, Any]
    contents: Contents


def merge(out: Path, files: list[Path]) -> tuple[int, int]:
    """Merges the files of all shards, in any order, into the file of the whole list.

    The ending of `out` chooses its format. The file is the same, byte for byte, as if the list had been embedded in one
    piece. Memory holds one block of embeddings at a time, and all paths.

    Returns:
        (N, D).

    Raises:
        UserError: when a part is missing, given twice, does not belong to the others, or cannot be read.
    """
    parts = sorted((_read_part(Path(file)) for file in files), key=lambda part: part.shard.number)
    first = parts[0]
    for part in parts[1:]:
        if differs := [what for what, value in first.common.items() if part.common[what] != value]:
            raise UserError(f"{first.file} and {part.file} do not belong together: they differ in their {differs[0]}")
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
    described = describe(file)
    attributes, shapes, strings = described.attributes, described.shapes, described.strings
    if not {"shard", "shard_of"} <= set(attributes):
        raise UserError(f"{file} holds the embeddings of a whole list; merge takes only files written with --shard")
    if missing := {"path", "augmentation_types"} - strings.keys():
        raise UserError(f"{file}: no dataset {min(missing)!r} in it; embed it again")
    types = tuple(strings["augmentation_types"])
    try:
        shard, whole = parse_shard(attributes["shard"]), json.loads(attributes["shard_of"])
        start, stop = shard.rows(whole["images"])
        common = {meaning: whole.get(key) for key, meaning in _MEANINGS.items()}
    except (UserError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: its attributes 'shard' and 'shard_of' are damaged; embed it again") from error
    count, dimensions = shapes["emb"]
    if count != stop - start or (len(types) > 1 and shapes.get("emb_aug") != (len(types), count, dimensions)):
        raise UserError(f"{file}: {count} embeddings, but shard {shard} has {stop - start} images; embed it again")
    common |= {"number of parts": shard.of, "augmentation": types, "aggregator": attributes.get("aggregator")}
    contents = Contents(strings["path"], strings.get("identity"), dimensions, types, described.half, attributes)
    return _Part(file, shard, common | {"precision": contents.half}, contents)


def _check_complete(parts: list[_Part]) -> None:
    """Raises a UserError if one of the sorted parts is missing or given twice."""
    for one, two in pairwise(parts):
        if one.shard == two.shard:
            raise UserError(f"{one.file} and {two.file} are both shard {one.shard}; give only one of them")
    there = {part.shard.number for part in parts}
    of = parts[0].shard.of
    if count := of - len(there):
        missing = [f"{number}/{of}" for number in islice((n for n in range(1, of + 1) if n not in there), 3)]
        more = f" and {count - 3} more" if count > 3 else ""
        raise UserError(
            f"shard {', '.join(missing)}{more} is missing; give its file too, or make it with "
            f"embed.py --shard {missing[0]} and the same arguments as for {parts[0].file}"
        )


def _blocks(parts: list[_Part]) -> Iterator[Block]:
    """The embeddings of all parts in order, in blocks of bounded size."""
    for part in parts:
        count, several = len(part.contents.paths), len(part.contents.types) > 1
        size = max(1, count * _BLOCK_BYTES // part.contents.most_bytes)
        with opened(part.file) as h5:
            for start in range(0, count, size):
                rows = slice(start, start + size)
                yield h5["emb"][rows], h5["emb_aug"][:, rows] if several else None
