"""Prepares a data set from a tree with one folder of images per identity.

    python -m dataset.prepare.folder --images pictures/shoes --out data/shoes

Every folder that directly contains JPEG or PNG images is an identity; its name is its path relative to --images. A
random split puts each identity into train.csv or test.csv. test.csv is evaluated all against all.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from dataset.formats.image_folders import is_image, walk_folders
from dataset.formats.manifest import Row
from dataset.formats.reserved import find_nobody
from dataset.formats.writing import LISTS, listed, next_step, refuse_overlap, write_with_images
from dataset.sources.counts import describe
from dataset.sources.image_check import find_problems, leave_out
from dataset.sources.known_layouts import refuse_known_layouts
from dataset.sources.layout import open_root
from dataset.sources.published_set import add_output, report_skipped
from runtime.arguments import Parser, number
from runtime.counting import counted
from runtime.errors import UserError, exit_code
from runtime.printable import print_line, print_lines

BATCH_P = 18  # default of the parameter batch_p, which this package cannot import


def find_images(images: Path, out: Path) -> tuple[list[Row], Counter[str], list[str]]:
    """Rows (identity, path), the number of other files by extension, and the names of images in no identity's folder.

    Raises:
        UserError: as `walk_folders`.
    """
    rows: list[Row] = []
    others: Counter[str] = Counter()
    loose: list[str] = []
    for identity, files in walk_folders(images):
        if Path(os.path.realpath(images / identity)) == out:
            files = [f for f in files if f not in ("dataset.json", *LISTS)]
        pictures = [f for f in files if is_image(f)]
        others.update(Path(f).suffix.lower() or "(no extension)" for f in set(files).difference(pictures))
        if identity:
            rows += [(identity, f"{identity}/{f}") for f in pictures]
        else:
            loose = pictures
    return sorted(rows), others, loose


def split_identities(names: list[str], test_fraction: float, seed: int) -> tuple[set[str], set[str]]:
    """Random, disjoint sets of training and test identities, each with at least one (fraction 0: no test)."""
    count = int(test_fraction * len(names) + 0.5)
    if test_fraction > 0:
        count = min(max(count, 1), len(names) - 1)
    order = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    return set(order[count:]), set(order[:count])


def prepare(args: argparse.Namespace) -> None:
    """Reads the tree, checks and splits it, and writes the data set."""
    images, out = open_root(args.images, (), "--images"), Path(args.out).resolve()
    if args.copy:
        refuse_overlap(args.out, images)
    if out != images and out.is_relative_to(images):
        what = f"--out {out} is inside --images {images}, so its folders would count as identities"
        raise UserError(f"{what}; name another --out")
    rows, others, outside = find_images(images, out)
    folders = {"": outside} if outside else {}
    for identity, path in rows:
        folders.setdefault(identity, []).append(path.rpartition("/")[2])
    refuse_known_layouts(images, folders, "--images")
    loose, nobody = len(outside), find_nobody(*(zip(*rows, strict=True) if rows else ((), ())))
    rows = [row for row, skip in zip(rows, nobody.mask, strict=True) if not skip]
    if not rows:
        where = "all images are directly in it" if loose else "no JPEG or PNG in its folders"
        seen = f" (there are {listed(others)})" if others else ""
        raise UserError(f"--images {images}: {where}{seen}; there must be one folder of images per identity")
    broken = find_problems(images, [path for _, path in rows], args.check)
    rows = list(leave_out(images, {"--images": rows}, broken, args.skip_broken)["--images"])
    sizes = Counter(identity for identity, _ in rows)
    if len(sizes) < 2:
        raise UserError(f"--images {images}: only one identity has images; there must be at least 2")

    train, test = split_identities(list(sizes), args.test_fraction, args.seed)
    chosen = {"train.csv": train, "test.csv": test} if test else {"train.csv": train}
    tables = {name: [row for row in rows if row[0] in identities] for name, identities in chosen.items()}
    single = {identity for identity, size in sizes.items() if size == 1}
    counts: dict[str, Any] = {
        "train_images": len(tables["train.csv"]),
        "train_identities": len(train),
        "test_images": len(tables.get("test.csv", ())),
        "test_identities": len(test),
        "identities_with_one_image": len(single),
        "broken_images_left_out": len(broken),
        "images_without_identity_left_out": loose,
        "other_files_left_out": dict(sorted(others.items())),
        "split": {"test_fraction": args.test_fraction, "seed": args.seed},
    }
    info = {"name": args.name, "origin": f"class-per-folder tree {images.as_posix()}"}
    info |= {"licence": args.licence, "counts": counts}
    write_with_images(out, images, tables, info, args.copy)

    for line in describe(tables, counts):
        print_line(line)
    if len(train) == 1:
        print_line("warning: train.csv has one identity, but triplets need two; lower --test_fraction, or add images")
    if single:
        print_line(
            f"{counted(len(single), 'identity', 'identities')} with only one image ({len(single & test)} in test.csv)"
        )
    if test and test <= single:
        print_line(
            "warning: every identity of test.csv has only one image, so there is nothing to retrieve; add images"
        )
    if loose:
        print_line(f"skipped {counted(loose, 'image')} directly in --images: they belong to no identity")
    if str(nobody):
        print_line(f"excluded {nobody}: they show no person")
    report_skipped(counts)
    if len(train) < BATCH_P:
        what = f"{counted(len(train), 'identity', 'identities')}, but a batch has batch_p = {BATCH_P} by default"
        print_line(f"note: train.csv has {what}; also set batch_p to {len(train)} or less in params.json")
    print_lines(next_step(args.out))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Parser(prog="python -m dataset.prepare.folder", description=__doc__.partition("\n")[0])
    parser.add_argument("--images", required=True, metavar="DIR", help="tree of images with one folder per identity")
    add_output(parser)
    share = "fraction of the identities for test.csv (default: 0.5; 0: no test.csv)"
    parser.add_argument("--test_fraction", type=number(float, 0, 0.99), default=0.5, metavar="X", help=share)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed of the split (default: 0)")
    parser.add_argument("--licence", default="not stated", help="licence of the images, recorded in dataset.json")
    return exit_code(lambda: prepare(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
