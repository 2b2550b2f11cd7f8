"""Any tree with one folder per class -> a prepared data set.

    python -m dataset.prepare.folder --images pictures/shoes --out data/shoes

Every folder that directly holds JPEG or PNG images is an identity, named by its path relative to --images. The
identities are split at random into training and test ones: no identity is in both (train.csv and test.csv, the latter
evaluated all against all).
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from dataset.formats.writing import listed, next_step, refuse_overlap, write_with_images
from dataset.loading.inspection import inspect_files
from dataset.sources.image_check import refuse_broken
from dataset.sources.layout import IMAGE_EXTENSIONS
from runtime.errors import UserError, exit_code

PRODUCTS = ("dataset.json", "train.csv", "test.csv")


def find_images(images: Path, out: Path) -> tuple[dict[str, list[str]], Counter[str], int]:
    """The images of every identity, the other files by extension, and the images outside of any identity's folder.

    Hidden files and folders and `__MACOSX` are passed over; links to folders are followed, each folder once.

    Raises:
        UserError: when `images` is no folder.
    """
    if not images.is_dir():
        raise UserError(f"--images {images}: {'not a folder' if images.exists() else 'no such folder'}")
    identities: dict[str, list[str]] = {}
    others: Counter[str] = Counter()
    loose, visited = 0, set()

    def refuse(error: OSError) -> None:  # by default os.walk leaves out silently what it cannot read
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}")

    for folder, children, files in os.walk(images, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            children.clear()
            continue
        visited.add(real)
        children[:] = sorted(c for c in children if not c.startswith(".") and c != "__MACOSX")
        visible = sorted(f for f in files if not f.startswith("."))
        if Path(real) == out:
            visible = [f for f in visible if f not in PRODUCTS]
        pictures = [f for f in visible if Path(f).suffix.lower() in IMAGE_EXTENSIONS]
        others.update(Path(f).suffix.lower() or "(no extension)" for f in visible if f not in set(pictures))
        identity = Path(folder).relative_to(images).as_posix()
        if identity == ".":
            loose = len(pictures)
        elif pictures:
            identities[identity] = [f"{identity}/{f}" for f in pictures]
    return dict(sorted(identities.items())), others, loose


def drop_broken(images: Path, identities: dict[str, list[str]], skip: bool) -> tuple[dict[str, list[str]], int]:
    """The identities without their broken images, and how many of those there were.

    Raises:
        UserError: naming the broken images, unless `skip`; and names that cannot be written as UTF-8.
    """
    paths = [path for group in identities.values() for path in group]
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise UserError(f"{images}: the name {path!a} is not UTF-8; rename it") from None
    problems = inspect_files([f"{images}/{path}" for path in paths], "headers").problems
    if problems and not skip:
        refuse_broken(images, {paths[i]: problem for i, problem in problems.items()}, len(paths))
    broken = {paths[i] for i in problems}
    kept = {name: [path for path in group if path not in broken] for name, group in identities.items()}
    return {name: group for name, group in kept.items() if group}, len(broken)


def split_identities(names: list[str], test_fraction: float, seed: int) -> tuple[set[str], set[str]]:
    """Training and test identities: disjoint, at random, at least one each (no test identities for fraction 0)."""
    count = int(test_fraction * len(names) + 0.5)
    if test_fraction > 0:
        count = min(max(count, 1), len(names) - 1)
    order = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    return set(order[count:]), set(order[:count])


def prepare(args: argparse.Namespace) -> int:
    """Reads the tree, checks it, splits it, writes the data set."""
    if not 0 <= args.test_fraction < 1:
        raise UserError(f"--test_fraction {args.test_fraction}: it must be at least 0 and less than 1")
    images, out = Path(args.images).resolve(), Path(args.out).resolve()
    if args.copy:
        refuse_overlap(out, images, "--images", "the images")
    if out != images and out.is_relative_to(images):
        raise UserError(f"--out {out} lies in --images {images}: other data there would be taken for identities")
    identities, others, loose = find_images(images, out)
    if not identities:
        where = "they lie directly in it, not in one folder per identity" if loose else "no JPEG or PNG in its folders"
        seen = f" (there are {listed(others)})" if others else ""
        raise UserError(f"--images {images}: no images of identities: {where}{seen}")
    identities, broken = drop_broken(images, identities, args.skip_broken)
    if len(identities) < 2:
        raise UserError(f"--images {images}: {len(identities)} identities with images; at least 2 are needed")

    train, test = split_identities(list(identities), args.test_fraction, args.seed)
    tables = {
        name: [(identity, path) for identity, group in identities.items() if identity in chosen for path in group]
        for name, chosen in (("train.csv", train), ("test.csv", test))
        if chosen
    }
    single = {name for name, group in identities.items() if len(group) == 1}
    counts = {
        "train_images": len(tables["train.csv"]),
        "train_identities": len(train),
        "test_images": len(tables.get("test.csv", ())),
        "test_identities": len(test),
        "identities_with_one_image": len(single),
        "broken_images_left_out": broken,
        "images_without_identity_left_out": loose,
        "other_files_left_out": dict(sorted(others.items())),
        "split": {"test_fraction": args.test_fraction, "seed": args.seed},
    }
    info = {"name": args.name, "origin": f"class-per-folder tree {images.as_posix()}"}
    info |= {"licence": args.licence, "counts": counts}
    write_with_images(out, images, tables, info, PRODUCTS, args.copy)
    report(args.out, counts, test <= single, len(single & test))
    return 0


def report(out: str, counts: dict, no_pairs: bool, single_test: int) -> None:
    """Says what was made and what to do next."""
    print(f"train.csv: {counts['train_images']} images of {counts['train_identities']} identities")
    if counts["test_identities"]:
        print(f"test.csv: {counts['test_images']} images of {counts['test_identities']} other identities")
    if counts["identities_with_one_image"]:
        print(f"identities with one image only: {counts['identities_with_one_image']} ({single_test} in test.csv)")
    if counts["test_identities"] and no_pairs:
        print("warning: every test identity has one image only: nothing can be retrieved, the evaluation will refuse")
    if counts["broken_images_left_out"]:
        print(f"{counts['broken_images_left_out']} broken images left out")
    if counts["images_without_identity_left_out"]:
        print(f"{counts['images_without_identity_left_out']} images left out: they lie in --images itself, in no class")
    if counts["other_files_left_out"]:
        print(f"other files left out: {listed(counts['other_files_left_out'])}")
    print(next_step(out))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dataset.prepare.folder", description=__doc__.split("\n")[0])
    parser.add_argument("--images", required=True, metavar="DIR", help="the tree of images, one folder per identity")
    parser.add_argument("--out", required=True, metavar="data/NAME", help="folder of the prepared data set")
    parser.add_argument(
        "--test_fraction", type=float, default=0.5, help="share of identities for test.csv (default 0.5; 0: no test)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random split (default 0)")
    parser.add_argument("--copy", action="store_true", help="copy the images to OUT/images (default: they stay)")
    parser.add_argument("--skip_broken", action="store_true", help="leave broken images out (default: refuse)")
    parser.add_argument("--name", help="name of the data set (default: the name of --out)")
    parser.add_argument("--licence", default="not stated", help="licence of the images, for dataset.json")
    args = parser.parse_args(argv)
    return exit_code(lambda: prepare(args))


if __name__ == "__main__":
    sys.exit(main())
