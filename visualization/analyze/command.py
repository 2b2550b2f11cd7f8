"""Runs `visualize.py analyze`."""

import argparse
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from model.evaluation.by_class.analysis import Analysis, analyze
from model.evaluation.by_class.confusion import ConfusedPair
from model.evaluation.by_class.summary import (
    as_json,
    as_text,
    class_cells,
    class_head,
    counts_text,
    overall_rows,
    pair_cells,
)
from runtime.counting import counted
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.json_files import write_json
from runtime.printable import print_line, print_lines
from visualization.analyze.worst_queries import Worst, find_worst, has_few_queries
from visualization.kit.html_page import render_page
from visualization.kit.thumbnails import as_jpeg, open_small
from visualization.sources.arguments import check_output_file
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.opening import open_source

MOST_CLASSES = 1000  # in the table of all classes; more are in the JSON only
_SIDE = 112  # pixels of the longer side of an example
_NAMES = ("analysis.html", "analysis.json")
_SUFFIXES = (".html", ".json")
_MEANINGS = {
    "recall": "queries with a match among the {k} nearest images",
    "recall@1": "queries with a match as the nearest image",
    "map": "average precision of the whole ranking",
    "map@r": "average precision of the first R ranks; R is the number of matches",
    "average_rank": "mean rank of all matches of a query; small is good",
    "first_rank": "rank of a query's first match; 1 is best",
}


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
    print_line(f"{embedded.title}: metric {embedded.metric}, excluder {embedded.task.rules}")
    worst = find_worst(embedded, analysis, args.classes) if has_few_queries(analysis) else None
    pairs = len(pairs_shown(analysis, args.pairs, worst is not None))
    print_lines(as_text(analysis, 0 if worst else args.classes, pairs))
    if worst:
        print_lines(f"\n{worst.note}")
        print_lines(worst.as_text(embedded))
    for file in files:
        if file.suffix.lower() == ".html":
            _write_page(file, analysis, embedded, worst, args)
        else:
            paths = embedded.query.paths, embedded.gallery.paths
            write_json(file, as_json(analysis, embedded.title, embedded.facts, *paths))
        print_line(f"wrote {file}")
    return 0


def _outputs(args: argparse.Namespace) -> list[Path]:
    """The files to write, which can be written; checks the source's arguments first."""
    given = [Path(out) for out in args.out] if args.out else []
    files: list[Path] = []
    for out in given:
        folder = out.is_dir() or (not out.suffix and out.parent.is_dir())
        if folder:
            out.mkdir(exist_ok=True)
        files += [out / name for name in _NAMES] if folder else [out]
    paths = [file.resolve() for file in files]
    if twice := next((file for file, path in zip(files, paths, strict=True) if paths.count(path) > 1), None):
        raise UserError(f"--out {twice}: named twice; name each file once")
    if not files:
        return [check_output_file(args, None, name, _SUFFIXES) for name in _NAMES]
    return [check_output_file(args, file, _NAMES[0], _SUFFIXES) for file in files]


def _write_page(file: Path, analysis: Analysis, embedded: EmbeddedSet, worst: Worst | None, args: Any) -> None:
    page, missing = render_analysis(analysis, embedded, worst, args.classes, args.pairs)
    with replace_file(file) as out:
        out.write(page)
    if missing:
        print_line(f"examples that cannot be opened: {counted(len(missing), 'image')}, the first is {missing[0]}")
    elif args.pairs and analysis.pairs and None in (embedded.query.files, embedded.gallery.files):
        print_line("the page has no images: their folder is unknown; set it with --image_root")


def render_analysis(
    analysis: Analysis, embedded: EmbeddedSet, worst: Worst | None, classes: int, pairs: int
) -> tuple[str, list[Path]]:
    """The page as HTML that needs no network, and scripts only to sort tables; and the images that cannot be opened.

    Args:
        analysis: of the set.
        embedded: the set.
        worst: its worst queries, which take the place of the hardest classes; None where classes have enough queries.
        classes: number of hardest classes shown, at most.
        pairs: number of pairs shown, at most.
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
        title=f"Where rankings go wrong: {embedded.title}",
        intro="Metrics of all queries, and the classes and images that cause the errors. Look for look-alikes, wrong "
        "labels, and groups of queries that fail together.",
        facts=embedded.facts,
        analysis=analysis,
        query=embedded.query,
        gallery=embedded.gallery,
        thumbnail=thumbnail,
        file_name=lambda path: PurePosixPath(path).name,
        hardest=analysis.classes[:classes],
        most=pairs_shown(analysis, pairs, worst is not None),
        overall=_overall(analysis),
        counted=counts_text(analysis.counts).splitlines(),
        few=worst and worst.note,
        worst=worst and worst.rankings,
        first_ranks=worst and worst.first_ranks,
        tenths=count_tenths(one.metrics["recall@1"] for one in analysis.classes),
        class_head=class_head(),
        class_cells=class_cells,
        pair_cells=pair_cells,
        taken_for={one.query_class: one for one in reversed(analysis.confusions)},  # the most frequent comes last
        most_classes=MOST_CLASSES,
    )
    return page, sorted(missing)


def pairs_shown(analysis: Analysis, most: int, few_queries: bool) -> list[ConfusedPair]:
    """The most confused pairs; where classes have few queries, only pairs that were confused more than once."""
    return [pair for pair in analysis.pairs[:most] if pair.count > 1 or not few_queries]


def _overall(analysis: Analysis) -> list[list[str]]:
    """A row for each metric: name, mean over queries, mean over classes, meaning."""
    names, over_queries, over_classes = (row[1:] for row in overall_rows(analysis))
    rows = []
    for name, *means in zip(names, over_queries, over_classes, strict=True):
        key, _, rank = name.removesuffix(" %").partition("@")
        meaning = _MEANINGS.get(f"{key}@{rank}", _MEANINGS[key]).format(k=rank)
        rows.append([name.replace("_", " "), *means, meaning])
    return rows


def count_tenths(shares: Iterable[float]) -> list[int]:
    """How many shares are in each tenth of 0 to 1; the last tenth includes 1."""
    counts = [0] * 10
    for share in shares:
        counts[min(int(share * 10), 9)] += 1  # 0.3 begins a tenth, though it is a hair below 3 * 0.1
    return counts
