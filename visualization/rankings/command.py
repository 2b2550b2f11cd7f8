"""Queries and their top matches over a whole data set, right and wrong ones marked, with distances.

Each row is a query and the gallery images nearest to it, as they are evaluated: what the excluder leaves out is not
there, and at equal distances the wrong one stands first. Best and worst are by average precision. The page (.html)
needs no network and no file beside it; .png is one picture.
"""

import argparse
import math
from typing import TYPE_CHECKING

from runtime.errors import UserError
from visualization.sources.arguments import add_source_arguments

if TYPE_CHECKING:
    from visualization.sources.embedded_set import EmbeddedSet

_SHOWS = ("mixed", "best", "worst", "random", "all")
_MOST_IMAGES = 50_000  # on a page that browsers open


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    page = parser.add_argument_group("the page")
    add = page.add_argument
    add("--out", metavar="FILE", help=".html or .png (default: rankings.html in RUN/pictures or beside Q.h5)")
    add("--queries", type=int, default=12, metavar="N", help="how many queries (default: 12)")
    add(
        "--show",
        default="mixed",
        choices=_SHOWS,
        help="mixed: worst, best and random ones, a third each (default); all: every query, in the order of the list",
    )
    add("--query", action="append", metavar="PATH", help="show this query, by its path or file name; repeatable")
    add("--top", type=int, default=10, metavar="K", help="images shown of a ranking (default: 10)")
    add("--seed", type=int, default=0, metavar="N", help="of the random choice (default: 0)")


def run(args: argparse.Namespace) -> int:
    from visualization.sources.opening import open_source
    from visualization.sources.output import output_file

    for name in ("queries", "top"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} {getattr(args, name)}: it must be at least 1")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: it must be at least 0")
    out = output_file(args, "rankings.html")
    embedded = open_source(args)

    from visualization.kit.page_file import write_page
    from visualization.kit.printable import printable
    from visualization.rankings.ranked import choose_queries, rank_queries, top_rankings
    from visualization.rankings.ranking_cards import ranking_page
    from visualization.sources.file_pictures import FilePictures

    pictures = FilePictures(embedded)
    args.top = min(args.top, len(embedded.task.gallery))
    if args.query:
        chosen = [("", number) for number in _named(args.query, embedded)]
    else:
        figures = rank_queries(embedded)
        chosen = choose_queries(figures, args.queries, args.show, args.seed)
    if len(chosen) * (args.top + 2) > _MOST_IMAGES:
        most = _MOST_IMAGES // len(chosen) - 2
        fewer = math.floor(_MOST_IMAGES / (args.top + 2))
        remedies = [f"set --top to {most:,} at most"] if most > 0 else []
        remedies += [f"show {fewer:,} queries at most: --queries N --show random"] if fewer else []
        what = f"{len(chosen):,} queries with {args.top:,} images each are more than a page can hold"
        raise UserError(f"{what}; {', or '.join(remedies)}" if remedies else what)
    rankings = top_rankings(embedded, [number for _, number in chosen], args.top)
    page = ranking_page(
        embedded,
        [(kind, ranking) for (kind, _), ranking in zip(chosen, rankings, strict=True)],
        pictures,
        title=f"Rankings: {embedded.title}",
    )
    if missing := pictures.check():
        page.notes.append(f"{missing[0].upper()}{missing[1:]}.")
    for note in page.notes:
        print(note)
    write_page(page, out)
    print(f"wrote {printable(out)}: {len(chosen):,} queries, the first {args.top} of {len(embedded.task.gallery):,}")
    return 0


def _named(names: list[str], embedded: "EmbeddedSet") -> list[int]:
    """The numbers, among the task's queries, of the queries of these paths or file names."""
    from visualization.kit.printable import printable

    points, numbers = embedded.query, []
    for name in names:
        found = [i for i, path in enumerate(points.paths) if path == name]
        found = found or [i for i, path in enumerate(points.paths) if path.rpartition("/")[2] == name]
        if not found:
            raise UserError(f"--query {name}: no query has this path; they look like {printable(points.paths[0])}")
        if len(found) > 1:
            raise UserError(f"--query {name}: {len(found)} queries have this name; give a path from the list")
        place = embedded.task.queries.searchsorted(found[0])
        if place == len(embedded.task.queries) or embedded.task.queries[place] != found[0]:
            raise UserError(f"--query {name}: the gallery has no match for it, so that it is not evaluated")
        numbers.append(int(place))
    return numbers
