"""Lists of images as other tools keep them -> a prepared data set.

    python -m dataset.prepare.csv --train train.csv --query query.csv --gallery test.csv --image_root Market-1501 \\
        --excluder market1501 --out data/market1501

Lists are `identity,path` without a header, or with one: identity,path[,camera[,sequence]]. --query and --gallery make
one evaluation set; --test makes one in which each image is a query against all others. With --excluder the cameras are
read out of the file names, so that the evaluation leaves out what a query's own camera saw of its identity.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from dataset.formats.camera_names import CAMERA_IN_NAME
from dataset.formats.manifest import Row, Tables, read_manifest
from dataset.sources.counts import Benchmark
from dataset.sources.layout import open_root
from dataset.sources.published_set import Command, Found
from runtime.errors import UserError

LISTS = {
    "train": "training images",
    "query": "queries, with --gallery",
    "gallery": "what the queries are compared with",
    "test": "images that are evaluated all against all",
}


def read_list(option: str, file: str, root: Path, excluder: str | None) -> list[Row]:
    """The rows of one list, with forward slashes and, if asked for, cameras.

    Raises:
        UserError: for a malformed or empty list, a path that is not relative, an image named twice, or a file name
            without a camera.
    """
    manifest = read_manifest(Path(file), root)
    where, paths = f"{option} {file}", manifest.paths.tolist()
    seen: dict[str, int] = {}
    for number, path in enumerate(paths, start=1):
        straight = straighten(path, f"{where}: image {number}")
        if straight in seen:
            raise UserError(f"{where}: images {seen[straight]} and {number} are one: {straight}; name every image once")
        seen[straight] = number
    turned = sum("\\" in path for path in paths)
    if turned:
        print(f"{where}: {turned} of {len(paths)} paths had backslashes; they are written with forward slashes")
    columns: list[Iterable[str]] = [manifest.identities, seen]
    if manifest.cameras is not None:
        columns.append(manifest.cameras)
    elif excluder:
        columns.append([camera_of(path, excluder, where) for path in seen])
    if manifest.sequences is not None:
        columns.append(manifest.sequences)
    return list(zip(*columns, strict=True))


def straighten(path: str, where: str) -> str:
    """A path as the project writes it: relative, with forward slashes, without empty parts."""
    if PureWindowsPath(path).drive or PureWindowsPath(path).root or PurePosixPath(path).is_absolute():
        raise UserError(f"{where} has the absolute path {path!a}; give paths that start at --image_root")
    straight = PurePosixPath(path.replace("\\", "/"))
    if ".." in straight.parts:
        raise UserError(f"{where} has the path {path!a}, which leads out of it; give paths below --image_root")
    return straight.as_posix()


def camera_of(path: str, excluder: str, where: str) -> str:
    """The camera that a file name states, in the form of the data set `excluder`."""
    match = CAMERA_IN_NAME[excluder].search(path.rsplit("/", 1)[-1])
    if not match:
        remedy = "leave --excluder away, or give the one that fits"
        raise UserError(f"{where}: no camera in the name of {path!a} as {excluder} states it; {remedy}")
    return match[1]


def refuse_shared_images(tables: Tables, files: dict[str, str]) -> None:
    """An image must not be trained on and evaluated; a query may be in the gallery, where it is left out."""
    train = {row[1] for row in tables.get("train.csv", ())}
    for name in files:
        shared = [row[1] for row in tables[f"{name}.csv"] if row[1] in train]
        if shared and name != "train":
            where = f"--train {files['train']} and --{name} {files[name]}"
            raise UserError(f"{where} share {len(shared)} images ({shared[0]} ...); remove them from one of the lists")


def find(args: argparse.Namespace) -> Found:
    """The lists that are given."""
    files = {name: getattr(args, name) for name in LISTS if getattr(args, name)}
    if not files:
        raise UserError("no list given; give --train, --query with --gallery, or --test")
    if ("query" in files) != ("gallery" in files):
        lack = "gallery" if "query" in files else "query"
        raise UserError(
            f"no --{lack}: --query and --gallery make an evaluation set together; for one list, give --test"
        )
    root = open_root(args.image_root, (), "--image_root")
    tables = {f"{name}.csv": read_list(f"--{name}", file, root, args.excluder) for name, file in files.items()}
    refuse_shared_images(tables, files)
    lists = ", ".join(Path(file).name for file in files.values())
    return Found(Benchmark("these lists", f"lists {lists} of images in", args.licence), root, tables)


main = Command("csv", __doc__, find)
for _name, _meaning in LISTS.items():
    main.add_argument(f"--{_name}", metavar="LIST.csv", help=f"list of {_meaning}")
main.add_argument("--image_root", required=True, metavar="DIR", help="the folder that the paths start from")
main.add_argument("--excluder", choices=CAMERA_IN_NAME, help="read cameras out of file names of this form")
main.add_argument("--licence", default="not stated", help="licence of the images, for dataset.json")

if __name__ == "__main__":
    sys.exit(main())
