"""Packs the images of a prepared data set into few large files, which network disks read faster than many small ones.

    python -m dataset.pack data/photos --out data/photos_packed

The result is a prepared data set with the same lists. Training, evaluation and embed.py read the same images from it.
"""

import argparse
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dataset.formats.episodes import read_episodes
from dataset.formats.inside import fault_of
from dataset.formats.manifest import read_manifest
from dataset.formats.packed import COLUMNS, FOLDER, INDEX, shard_name
from dataset.formats.prepared import PreparedDataset, open_prepared
from dataset.formats.writing import LISTS
from dataset.loading.inspection import inspect_files
from runtime.arguments import Parser, number
from runtime.counting import counted
from runtime.errors import UserError, exit_code
from runtime.files import replace_folder, sync, writing
from runtime.json_files import read_json, write_json
from runtime.printable import print_line

_HEADER, _FOOTER = 12, 4  # bytes around the data of a record


def pack(args: argparse.Namespace) -> None:
    """Writes the packed data set. It gets its name when it is complete."""
    data, out = open_prepared(args.dataset), Path(args.out)
    if out.exists():
        raise UserError(f"--out {out}: it exists already; choose another --out, or delete it first")
    if data.image_root.name == FOLDER:
        raise UserError(f"{data.folder}: it is packed already; pack the data set that it was made of")
    lists = [data.folder / name for name in LISTS if (data.folder / name).exists()]
    paths = _paths(data, lists)
    files = [f"{data.image_root}/{path}" for path in paths]
    inspection = inspect_files(files)
    if inspection.problems:
        first = min(inspection.problems)
        raise UserError(f"{files[first]}: {inspection.problems[first]}; correct the data set, then pack it")
    with replace_folder(out) as folder, writing(out):
        sizes = _write_shards(folder / FOLDER, paths, files, inspection.orientations, round(args.shard_mb * 1e6))
        for file in lists:
            shutil.copyfile(file, folder / file.name)
        if (data.folder / "episodes").is_dir():
            shutil.copytree(data.folder / "episodes", folder / "episodes")
        write_json(folder / "dataset.json", {**read_json(data.folder / "dataset.json"), "image_root": FOLDER})
    print_line(f"{out}: {counted(len(paths), 'image')} in {counted(len(sizes), 'file')}, {sum(sizes) / 1e6:,.1f} MB")


def _paths(data: PreparedDataset, lists: list[Path]) -> list[str]:
    """The paths of all images in the lists, each once, in their order."""
    named = [(file, read_manifest(file, data.image_root).paths) for file in lists]
    episodes = sorted((data.folder / "episodes").glob("*.csv"))
    named += [(file, read_episodes(file, data.image_root).paths) for file in episodes]
    paths: dict[str, None] = {}
    for file, of_list in named:
        for path in of_list:
            if fault := fault_of(path):
                what = "only images below image_root can be packed; prepare the data set with --copy"
                raise UserError(f"{file}: the path {path!a} {fault}; {what}")
            paths[path] = None
    if not paths:
        raise UserError(f"{data.folder}: it has no lists of images; prepare it again")
    return list(paths)


def _write_shards(folder: Path, paths: list[str], files: list[str], orientations: np.ndarray, limit: int) -> list[int]:
    """Writes the image files as records of about `limit` bytes a shard, then the index. Returns the shards' sizes."""
    lengths = np.array([_size(file) for file in files], np.int64)
    ends = np.cumsum(lengths + _HEADER + _FOOTER)
    shards = (ends - 1) // limit
    _, shards = np.unique(shards, return_inverse=True)  # an image larger than `limit` leaves no number out
    count, checksums = int(shards[-1]) + 1, np.zeros(len(files), np.uint32)
    first = np.searchsorted(shards, np.arange(count))
    starts = ends - lengths - _HEADER - _FOOTER
    offsets = starts - starts[first][shards] + _HEADER
    folder.mkdir()
    for shard, write in enumerate(_writers(folder, count)):
        for place in np.flatnonzero(shards == shard):
            data = Path(files[place]).read_bytes()
            if len(data) != lengths[place]:
                raise UserError(f"{files[place]}: it changed while it was packed; repeat the command")
            checksums[place] = zlib.crc32(data)
            write(data)
    sizes = [(folder / shard_name(shard, count)).stat().st_size for shard in range(count)]
    values = (paths, shards, offsets, lengths, checksums, orientations)
    columns: dict[str, Any] = {
        name: np.array(column, kind) for (name, kind), column in zip(COLUMNS.items(), values, strict=True)
    }
    with open(folder / INDEX, "wb") as file:
        np.savez(file, sizes=np.array(sizes, np.int64), **columns)
        sync(file)
    return sizes


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; restore it and repeat the command") from error


def _writers(folder: Path, count: int) -> Iterator[Callable[[bytes], None]]:
    """A function that appends a record, for each shard in turn."""
    import tensorflow as tf  # takes seconds to load: after all checks

    for shard in range(count):
        file = folder / shard_name(shard, count)
        with tf.io.TFRecordWriter(os.fsencode(os.path.realpath(file))) as writer:
            yield writer.write
        with open(file, "rb") as written:
            sync(written)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m dataset.pack", description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", metavar="DATASET", help="prepared data set: its folder, or its name in data/")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the packed data set; must not exist")
    parser.add_argument(
        "--shard_mb",
        type=number(float, 0.001, 1e6),
        default=1000.0,
        metavar="MB",
        help="size of a file (default: 1000)",
    )
    return exit_code(lambda: pack(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
