"""Published data sets to prepared ones: their options, what is counted and compared, and the report."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from dataset.formats.manifest import Tables
from dataset.formats.writing import MakeImages, listed, next_step, refuse_overlap, write_with_images
from dataset.loading.inspection import MODES
from dataset.sources.counts import Benchmark, count, describe, differences, shared_identities
from dataset.sources.image_check import drop_broken

PRODUCTS = ("dataset.json", "train.csv", "query.csv", "gallery.csv", "multi_query.csv", "test.csv")


def add_arguments(parser: argparse.ArgumentParser, root: str) -> None:
    """The options that all preparations of published data sets have; `root` says what --root must be."""
    parser.add_argument("--root", required=True, metavar="DIR", help=root)
    parser.add_argument("--out", required=True, metavar="data/NAME", help="folder of the prepared data set")
    parser.add_argument("--copy", action="store_true", help="copy the images to OUT/images (default: they stay)")
    add_check(parser)


def add_check(parser: argparse.ArgumentParser) -> None:
    """How the images are looked at, and how the data set is called."""
    parser.add_argument(
        "--check", choices=MODES, default="headers", help="how images are looked at: headers (default), full or off"
    )
    parser.add_argument("--skip_broken", action="store_true", help="leave broken images out (default: refuse)")
    parser.add_argument("--name", help="name of the data set (default: the name of --out)")


def write_data_set(
    args: argparse.Namespace,
    benchmark: Benchmark,
    root: Path,
    tables: Tables,
    others: Counter[str] | None = None,
    settings: dict[str, Any] | None = None,
    make_images: MakeImages | None = None,
    check_images: bool = True,
    notes: tuple[str, ...] = (),
    broken: int = 0,
) -> None:
    """Checks the images, writes the data set and says what was made.

    Args:
        args: the options of `add_arguments`.
        root: where the images are; with `make_images`, where they are made from.
        tables: CSV file -> rows; their paths start at `root`, or with `make_images` at OUT/images.
        others: files that are no images, by extension, for the report.
        settings: what else tells this data set from another one of the same source; kept in the counts.
        make_images: makes the images of the tables, where they are not used as they lie.
        check_images: look at the images at `root` first; False where `make_images` makes them from something else.
        notes: what else the report is to say, line by line.
        broken: images that are left out already, for the counts.

    Raises:
        UserError: for broken images, for an --out that holds something else, or when writing fails.
    """
    copy = getattr(args, "copy", False)
    if copy:
        refuse_overlap(Path(args.out).resolve(), root)
    tables, dropped = drop_broken(root, tables, args.check if check_images else "off", args.skip_broken)

    counts: dict[str, Any] = count(tables, benchmark.tracks)
    other_than_published = differences(counts, benchmark.published)
    counts["broken_images_left_out"] = broken + dropped
    counts["other_files_left_out"] = dict(sorted((others or {}).items()))
    if other_than_published:
        counts["published_but_different"] = other_than_published
    counts |= settings or {}
    info = {"name": args.name, "origin": f"{benchmark.origin}: {root.as_posix()}"}
    info |= {"licence": benchmark.licence, "counts": counts}
    write_with_images(args.out, root, tables, info, PRODUCTS, copy, make_images)
    report(args.out, benchmark, tables, counts, notes)


def report(out: str, benchmark: Benchmark, tables: Tables, counts: dict[str, Any], notes: tuple[str, ...] = ()) -> None:
    """Says what was made, how it differs from what was published, and what to do next."""
    for line in describe(tables, counts):
        print(line)
    for name, value in counts.get("published_but_different", {}).items():
        what = name.replace("_", " ")
        print(f"differs from the published {benchmark.title}: {what}: {counts.get(name, 0)} here, {value} published")
    if shared := shared_identities(tables):
        some = ", ".join(shared[:3])
        print(
            f"warning: {len(shared)} identities ({some} ...) are in train.csv and evaluated: the figures will flatter"
        )
    if missing := counts.get("queries_without_match"):
        print(f"warning: {missing} queries have no match in the gallery (of another camera): they will be skipped")
    if counts["broken_images_left_out"]:
        print(f"{counts['broken_images_left_out']} broken images left out")
    if counts["other_files_left_out"]:
        print(f"other files left out: {listed(counts['other_files_left_out'])}")
    for note in notes:
        print(note)
    if "train.csv" not in tables:
        print("no train.csv: this data set is for evaluation only")
        return
    print(next_step(out))
