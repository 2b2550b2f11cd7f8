"""Published data sets to prepared ones: what all their commands do, from the options to the report."""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset.formats.manifest import Tables
from dataset.formats.writing import MakeImages, listed, next_step, refuse_overlap, write_with_images
from dataset.loading.inspection import MODES
from dataset.sources.counts import Benchmark, count, describe, shared_identities
from dataset.sources.image_check import find_problems, leave_out
from runtime.arguments import Parser
from runtime.errors import exit_code


@dataclass(frozen=True)
class Found:
    """What a command has found of its data set, before anything is written.

    Attributes:
        benchmark: what was published of it.
        root: where the images are; with `make_images`, what they are made from.
        tables: CSV file -> rows; their paths start at `root`, or with `make_images` at OUT/images.
        others: files that are no images, by extension.
        settings: what else tells this data set from another one of the same source; kept in the counts.
        notes: what else the report is to say, line by line.
        make_images: makes the images of the tables, where they are not used as they lie.
        problems: missing and broken images by path; None when those at `root` are still to be looked at.
    """

    benchmark: Benchmark
    root: Path
    tables: Tables
    others: Counter[str] = field(default_factory=Counter)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    make_images: MakeImages | None = None
    problems: dict[str, str] | None = None


class Command(Parser):
    """The command line of a published data set; called with its words, it prepares the data set.

    Args:
        name: the module in dataset.prepare.
        about: its docstring.
        find: gives what the options lead to.
        root: what --root must be; empty for a command that has another option instead.
        crop: what --crop does; empty for a command that cannot crop.
    """

    def __init__(
        self, name: str, about: str, find: Callable[[argparse.Namespace], Found], root: str = "", crop: str = ""
    ) -> None:
        super().__init__(prog=f"python -m dataset.prepare.{name}", description=about.partition("\n")[0])
        self._find = find
        if root:
            self.add_argument("--root", required=True, metavar="DIR", help=root)
        add_output(self, crop)

    def __call__(self, words: list[str] | None = None) -> int:
        """Finds the data set and writes it; returns the exit code."""

        def prepare() -> None:
            args = self.parse_args(words)
            write_data_set(args, self._find(args))

        return exit_code(prepare)


def add_output(parser: argparse.ArgumentParser, crop: str = "") -> None:
    """The options about what is written."""
    parser.add_argument("--out", required=True, metavar="data/NAME", help="folder of the prepared data set")
    own_images = parser.add_mutually_exclusive_group()  # crops are always written to OUT/images
    own_images.add_argument("--copy", action="store_true", help="copy the images to OUT/images (default: they stay)")
    if crop:
        own_images.add_argument("--crop", action="store_true", help=f"{crop}, in OUT/images (default: whole)")
    parser.add_argument(
        "--check", choices=MODES, default="headers", help="how images are looked at: headers (default), full or off"
    )
    parser.add_argument("--skip_broken", action="store_true", help="leave broken images out (default: refuse)")
    parser.add_argument("--name", help="name of the data set (default: the name of --out)")


def write_data_set(args: argparse.Namespace, found: Found) -> None:
    """Checks the images, writes the data set and says what was made.

    Raises:
        UserError: for broken images, for an --out that holds something else, or when writing fails.
    """
    benchmark, root, tables, problems = found.benchmark, found.root, found.tables, found.problems
    if args.copy:
        refuse_overlap(args.out, root)
    if problems is None:
        paths = list(dict.fromkeys(row[1] for rows in tables.values() for row in rows))  # a query may be in the gallery
        problems = find_problems(root, paths, args.check)
    tables = leave_out(root, tables, problems, args.skip_broken)

    counts: dict[str, Any] = count(tables, benchmark.tracks)
    different = {name: value for name, value in benchmark.published.items() if counts.get(name, 0) != value}
    counts |= {"broken_images_left_out": len(problems), "other_files_left_out": dict(sorted(found.others.items()))}
    if different:
        counts["published_but_different"] = different
    counts |= found.settings
    info = {"name": args.name, "origin": f"{benchmark.origin}: {root.as_posix()}"}
    info |= {"licence": benchmark.licence, "counts": counts}
    write_with_images(args.out, root, tables, info, args.copy, found.make_images)

    for line in describe(tables, counts):
        print(line)
    for name, value in different.items():
        what = name.replace("_", " ")
        print(f"differs from the published {benchmark.title}: {what}: {counts.get(name, 0)} here, {value} published")
    if shared := shared_identities(tables):
        first = f"{len(shared)} identities ({', '.join(shared[:3])} ...)"
        print(f"warning: {first} are in train.csv and evaluated: the figures will flatter")
    if missing := counts.get("queries_without_match"):
        print(f"warning: {missing} queries have no match in the gallery (of another camera): they will be skipped")
    report_left_out(counts)
    for note in found.notes:
        print(note)
    print(next_step(args.out) if "train.csv" in tables else "no train.csv: this data set is for evaluation only")


def report_left_out(counts: dict[str, Any]) -> None:
    """Says how many broken images and other files are not in the data set."""
    if counts["broken_images_left_out"]:
        print(f"{counts['broken_images_left_out']} broken images left out")
    if counts["other_files_left_out"]:
        print(f"other files left out: {listed(counts['other_files_left_out'])}")
