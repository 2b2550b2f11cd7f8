"""Runs `visualize.py rankings`."""

import argparse

from runtime.counting import counted
from runtime.errors import UserError
from runtime.printable import print_line, printable
from visualization.kit.card_page import write_cards
from visualization.rankings.query_cards import FilePictures, lay_out_rankings
from visualization.rankings.ranked import choose_queries, find_rankings, rank_queries
from visualization.sources.arguments import check_output_file
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.opening import open_source

_MOST_IMAGES = 20_000  # a browser opens a page of this many in seconds


def run(args: argparse.Namespace) -> int:
    out = check_output_file(args, args.out, "rankings.html")
    embedded = open_source(args)
    pictures = FilePictures(embedded)
    args.top = min(args.top, len(embedded.task.gallery))
    if args.query:
        chosen = [("", number) for number in _named(args.query, embedded)]
    else:
        metrics = rank_queries(embedded)
        chosen = choose_queries(metrics, args.queries, args.show, args.seed)
    if len(chosen) * (args.top + 2) > _MOST_IMAGES:
        most = _MOST_IMAGES // len(chosen) - 2
        fewer = _MOST_IMAGES // (args.top + 2)
        remedies = [f"set --top to {most:,} at most"] if most > 0 else []
        remedies += [f"show {counted(fewer, 'query')} at most: --queries N --show random"] if fewer else []
        what = f"{len(chosen):,} queries with {args.top:,} images each are more than a page can hold"
        raise UserError(f"{what}; {', or '.join(remedies)}" if remedies else what)
    rankings = find_rankings(embedded, [number for _, number in chosen], args.top)
    page = lay_out_rankings(
        embedded,
        [(kind, ranking) for (kind, _), ranking in zip(chosen, rankings, strict=True)],
        pictures,
        title=f"Rankings: {embedded.title}",
    )
    if missing := pictures.check():
        page.notes.append(f"{missing[0].upper()}{missing[1:]}.")
    for note in page.notes:
        print_line(note)
    write_cards(page, out)
    top, shown = counted(len(embedded.task.gallery), "gallery image"), counted(len(chosen), "query")
    print_line(f"wrote {out}: {shown}, each with the nearest {args.top:,} of {top}")
    return 0


def _named(names: list[str], embedded: EmbeddedSet) -> list[int]:
    """The queries with these paths or file names, as numbers among the task's queries."""
    points, numbers = embedded.query, []
    for name in names:
        found = [i for i, path in enumerate(points.paths) if path == name]
        found = found or [i for i, path in enumerate(points.paths) if path.rpartition("/")[2] == name]
        if not found:
            raise UserError(f"--query {name}: no query has this path; paths look like {printable(points.paths[0])}")
        if len(found) > 1:
            raise UserError(f"--query {name}: {len(found)} queries have this file name; give the path as in the list")
        place = embedded.task.queries.searchsorted(found[0])
        if place == len(embedded.task.queries) or embedded.task.queries[place] != found[0]:
            raise UserError(f"--query {name}: the gallery has no match for it; name a query with a match")
        numbers.append(int(place))
    return numbers
