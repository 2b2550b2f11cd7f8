"""Runs `visualize.py analyze`."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from model.evaluation.by_class.analysis import Analysis, analyze
from model.evaluation.by_class.summary import (
    as_json,
    as_text,
    class_cells,
    class_head,
    counts_text,
    overall_rows,
    pair_cells,
)
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.json_files import write_json
from visualization.kit.colours import INK, PALETTE
from visualization.kit.html_page import render_page
from visualization.kit.printable import printable
from visualization.kit.thumbnails import as_jpeg, open_small
from visualization.sources.arguments import check_output_file
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.opening import open_source

MOST_CLASSES = 1000  # of the table of all: more are in the JSON alone
_SIDE = 112  # pixels of the longer side of an example
_NAMES = ("analysis.html", "analysis.json")
_SUFFIXES = (".html", ".json")


def run(args: argparse.Namespace) -> int:
    files = _outputs(args)
    embedded = open_source(args)
    analysis = analyze(
        embedded.task,
        embedded.distances(),
        embedded.query.identities,
        embedded.gallery.identities,
        embedded.metric,
        args.memory_gb,
    )
    print(printable(f"{embedded.title}: metric {embedded.metric}, excluder {embedded.task.rules}"))
    print(printable(as_text(analysis, args.classes, args.pairs)))
    for file in files:
        if file.suffix.lower() == ".html":
            _write_page(file, analysis, embedded, args)
        else:
            paths = embedded.query.paths, embedded.gallery.paths
            write_json(file, as_json(analysis, embedded.title, embedded.facts, *paths))
        print(f"wrote {printable(file)}")
    return 0


def _outputs(args: argparse.Namespace) -> list[Path]:
    """The files to write, each known to be writable; checks the source's arguments first."""
    given = [Path(out) for out in args.out] if args.out else []
    files: list[Path] = []
    for out in given:
        folder = out.is_dir() or (not out.suffix and out.parent.is_dir())
        if folder:
            out.mkdir(exist_ok=True)
        files += [out / name for name in _NAMES] if folder else [out]
    paths = [file.resolve() for file in files]
    if twice := next((file for file, path in zip(files, paths, strict=True) if paths.count(path) > 1), None):
        raise UserError(f"--out {twice}: it is named twice; give each file once")
    if not files:
        return [check_output_file(args, None, name, _SUFFIXES) for name in _NAMES]
    return [check_output_file(args, file, _NAMES[0], _SUFFIXES) for file in files]


def _write_page(file: Path, analysis: Analysis, embedded: EmbeddedSet, args: argparse.Namespace) -> None:
    page, missing = render_analysis(analysis, embedded, args.classes, args.pairs)
    with replace_file(file) as out:
        out.write(page)
    if missing:
        print(f"{len(missing):,} of the examples' images cannot be opened, the first is {printable(missing[0])}")
    elif args.pairs and analysis.pairs and None in (embedded.query.files, embedded.gallery.files):
        print("no pictures on the page: it is not known where the images are; --image_root says")


def render_analysis(analysis: Analysis, embedded: EmbeddedSet, classes: int, pairs: int) -> tuple[str, list[Path]]:
    """The page as HTML that needs no network, and no script but to sort the tables; and images that cannot be opened.

    Args:
        analysis: of the set.
        embedded: the set.
        classes: most hardest classes shown.
        pairs: most pairs shown, and most confusions in one direction.
    """
    missing: set[Path] = set()

    def thumbnail(file: Path) -> bytes | None:
        picture = open_small(file, _SIDE)
        if picture is None:
            missing.add(file)
            return None
        return as_jpeg(picture)

    page = render_page(
        "analyze/analysis.html.jinja",
        title=embedded.title,
        facts=embedded.facts,
        analysis=analysis,
        query=embedded.query,
        gallery=embedded.gallery,
        thumbnail=thumbnail,
        classes=classes,
        pairs=pairs,
        overall=overall_rows(analysis),
        counted=counts_text(analysis.counts).splitlines(),
        tenths=count_tenths(one.metrics["recall@1"] for one in analysis.classes),
        class_head=class_head(),
        class_cells=class_cells,
        pair_cells=pair_cells,
        taken_for={one.query_class: one for one in reversed(analysis.confusions)},  # the most frequent comes last
        most_classes=MOST_CLASSES,
        bar=PALETTE[1],  # sky blue, and a line that stands out from it
        line=INK,
    )
    return page, sorted(missing)


def count_tenths(shares: Iterable[float]) -> list[int]:
    """How many shares lie in each tenth of 0 to 1; the last has the 1."""
    counts = [0] * 10
    for share in shares:
        counts[min(int(share * 10), 9)] += 1  # 0.3 begins a tenth, though it is a hair less than 3 * 0.1
    return counts
