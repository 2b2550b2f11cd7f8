"""The command that prepares a published data set: options, checks, writing, report."""

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
from runtime.counting import counted
from runtime.errors import exit_code
from runtime.printable import print_line, print_lines


@dataclass(frozen=True)
class Found:
    """The data set that a command has found. Nothing is written yet.

    Attributes:
        benchmark: the published description.
        root: the folder of the images; with `make_images`, the folder of their source.
        tables: CSV file -> rows. Their paths start in `root`, or with `make_images` in OUT/images.
        others: the number of other files, by extension.
        settings: options that change the data set; they are recorded in the counts.
        notes: further lines of the report.
        make_images: makes the images of the tables; None to use the images in `root`.
        problems: missing and broken images, by path; None if the images in `root` must still be checked.
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
    """The command line of a published data set. Calling it with arguments prepares the data set.

    Args:
        name: the module in dataset.prepare.
        about: the docstring of the module.
        find: finds the data set, given the parsed options.
        root: help text of --root; empty for a command without --root.
        crop: help text of --crop; empty for a command without --crop.
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
        """Prepares the data set and returns the exit code."""

        def prepare() -> None:
            args = self.parse_args(words)
            write_data_set(args, self._find(args))

        return exit_code(prepare)


def add_output(parser: argparse.ArgumentParser, crop: str = "") -> None:
    """Adds the options about the output."""
    parser.add_argument("--out", required=True, metavar="data/NAME", help="folder of the prepared data set")
    own_images = parser.add_mutually_exclusive_group()  # crops are always written to OUT/images
    own_images.add_argument("--copy", action="store_true", help="copy the images to OUT/images (default: do not copy)")
    if crop:
        own_images.add_argument("--crop", action="store_true", help=f"{crop}, in OUT/images (default: do not crop)")
    parser.add_argument(
        "--check",
        choices=MODES,
        default="headers",
        help="check of the images: headers and file ends (headers, default), decode all (full), or none (off)",
    )
    parser.add_argument("--skip_broken", action="store_true", help="skip broken images (default: stop with an error)")
    parser.add_argument("--name", help="name of the data set (default: the name of --out)")


def write_data_set(args: argparse.Namespace, found: Found) -> None:
    """Checks the images, writes the data set, and prints a report.

    Raises:
        UserError: for broken images, for an --out with other files, or when writing fails.
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
        print_line(line)
    for name, value in different.items():
        what = name.replace("_", " ")
        print_line(
            f"differs from the published {benchmark.title}: {what}: {counts.get(name, 0)} here, {value} published"
        )
    if shared := shared_identities(tables):
        names = ", ".join(shared[:3]) + (" ..." if len(shared) > 3 else "")
        both = f"{counted(len(shared), 'identity', 'identities')} in train.csv and in an evaluation set: {names}"
        print_line(f"warning: {both}; metrics will be too high")
    if missing := counts.get("queries_without_match"):
        print_line(
            f"warning: {counted(missing, 'query', 'queries')} without a match from another camera in the gallery; "
            "the evaluation will skip them"
        )
    report_skipped(counts)
    for note in found.notes:
        print_line(note)
    print_lines(next_step(args.out) if "train.csv" in tables else "no train.csv: this data set is for evaluation only")


def report_skipped(counts: dict[str, Any]) -> None:
    """Prints how many broken images and other files were skipped."""
    if counts["broken_images_left_out"]:
        print_line(f"skipped {counted(counts['broken_images_left_out'], 'broken image')}")
    if counts["other_files_left_out"]:
        print_line(f"skipped other files: {listed(counts['other_files_left_out'])}")
