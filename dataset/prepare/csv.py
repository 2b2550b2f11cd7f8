"""Prepares a data set from the image lists of another tool.

    python -m dataset.prepare.csv --train train.csv --query query.csv --gallery test.csv --image_root Market-1501 \\
        --excluder market1501 --out data/market1501

A list has lines `identity,path` without a header, or has the header identity,path[,camera[,sequence]]. --query and
--gallery make one evaluation set. --test makes one in which each image is a query against all others. --excluder reads
the cameras from the file names: then the evaluation excludes gallery images of a query's identity and camera.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dataset.formats.camera_names import CAMERA_IN_NAME
from dataset.formats.inside import fault_of
from dataset.formats.manifest import Row, Tables, read_manifest
from dataset.formats.reserved import find_nobody
from dataset.sources.counts import Benchmark
from dataset.sources.layout import open_root
from dataset.sources.published_set import Command, Found
from runtime.counting import counted
from runtime.errors import UserError
from runtime.printable import print_line

LISTS = {
    "train": "training images",
    "query": "query images; needs --gallery",
    "gallery": "gallery images, which the queries are compared with",
    "test": "images that are evaluated all against all",
}


def read_list(option: str, file: str, root: Path, excluder: str | None) -> list[Row]:
    """The rows of one list, with forward slashes in paths, and with cameras if there is an excluder.

    Raises:
        UserError: for a malformed or empty list, a path that is not relative, an image listed twice, or a file name
            without a camera.
    """
    manifest = read_manifest(Path(file), root)
    where, paths = f"{option} {file}", manifest.paths.tolist()
    seen: dict[str, int] = {}
    for number, path in enumerate(paths, start=1):
        straight = straighten(path, f"{where}: image {number}")
        if straight in seen:
            what = f"images {seen[straight]} and {number} are the same: {straight}"
            raise UserError(f"{where}: {what}; list every image once")
        seen[straight] = number
    turned = sum("\\" in path for path in paths)
    if turned:
        print_line(f"{where}: replaced backslashes by slashes in {turned} of {counted(len(paths), 'path')}")
    columns: list[Iterable[str]] = [manifest.identities, seen]
    if manifest.cameras is not None:
        columns.append(manifest.cameras)
    elif excluder:
        columns.append([camera_of(path, excluder, where) for path in seen])
    if manifest.sequences is not None:
        columns.append(manifest.sequences)
    return list(zip(*columns, strict=True))


def straighten(path: str, where: str) -> str:
    """A path in the project's form: relative, with forward slashes, without empty parts."""
    if fault := fault_of(path):
        raise UserError(f"{where}: the path {path!a} {fault}; give paths relative to --image_root and below it")
    return PurePosixPath(path.replace("\\", "/")).as_posix()


def camera_of(path: str, excluder: str, where: str) -> str:
    """The camera in a file name that has the form of the data set `excluder`."""
    match = CAMERA_IN_NAME[excluder].search(path.rsplit("/", 1)[-1])
    if not match:
        remedy = "omit --excluder, or give another one"
        raise UserError(f"{where}: the name of {path!a} has no camera in the form of {excluder}; {remedy}")
    return match[1]


def without_nobody(rows: list[Row], name: str) -> list[Row]:
    """The rows of a list whose images show somebody; says how many are excluded. Only galleries have junk."""
    nobody = find_nobody([row[0] for row in rows], (row[1] for row in rows))
    if nobody.mask.all():
        raise UserError(f"{name}: it would have only {nobody}, which show no person; add other images")
    if str(nobody):
        print_line(f"{name}: excluded {nobody}: they show no person")
    return [row for row, skip in zip(rows, nobody.mask, strict=True) if not skip]


def refuse_shared_images(tables: Tables, files: dict[str, str]) -> None:
    """Raises a `UserError` for images in train.csv and in an evaluation set. A query may be in the gallery."""
    train = {row[1] for row in tables.get("train.csv", ())}
    for name in files:
        shared = [row[1] for row in tables[f"{name}.csv"] if row[1] in train]
        if shared and name != "train":
            where = f"--train {files['train']} and --{name} {files[name]}"
            what = f"{counted(len(shared), 'image')} (such as {shared[0]})"
            raise UserError(f"{where} share {what}; remove shared images from one of the lists")


def find(args: argparse.Namespace) -> Found:
    """The data set of the given lists."""
    files = {name: getattr(args, name) for name in LISTS if getattr(args, name)}
    if not files:
        raise UserError("there is no list; give --train, --query with --gallery, or --test")
    if ("query" in files) != ("gallery" in files):
        lack = "gallery" if "query" in files else "query"
        raise UserError(f"--{lack} is missing: --query and --gallery need each other; for a single list, give --test")
    root = open_root(args.image_root, (), "--image_root")
    tables = {f"{name}.csv": read_list(f"--{name}", file, root, args.excluder) for name, file in files.items()}
    refuse_shared_images(tables, files)
    tables |= {name: without_nobody(rows, name) for name, rows in tables.items() if name in ("train.csv", "test.csv")}
    lists = ", ".join(Path(file).name for file in files.values())
    return Found(Benchmark("these lists", f"lists {lists} of images in", args.licence), root, tables)


main = Command("csv", __doc__, find)
for _name, _meaning in LISTS.items():
    main.add_argument(f"--{_name}", metavar="LIST.csv", help=f"list of {_meaning}")
main.add_argument("--image_root", required=True, metavar="DIR", help="folder that the paths start from")
main.add_argument("--excluder", choices=CAMERA_IN_NAME, help="read the cameras from file names in this data set's form")
main.add_argument("--licence", default="not stated", help="licence of the images, recorded in dataset.json")

if __name__ == "__main__":
    sys.exit(main())
