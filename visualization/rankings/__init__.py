"""Queries and their top matches over a whole data set, right and wrong ones marked, with distances.

Each row is a query and the gallery images nearest to it, as they are evaluated: what the excluder leaves out is not
there, and at equal distances the wrong one stands first. Best and worst are by average precision. The page (.html)
needs no network and no file beside it; .png is one picture.
"""

import argparse

from visualization.sources.arguments import add_number, add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    page = parser.add_argument_group("the page")
    add = page.add_argument
    add("--out", metavar="FILE", help=".html or .png (default: rankings.html in RUN/pictures or beside Q.h5)")
    add_number(page, "--queries", "how many queries", default=12, least=1)
    add(
        "--show",
        default="mixed",
        choices=("mixed", "best", "worst", "random", "all"),
        help="mixed: worst, best and random ones, a third each (default); all: every query, in the order of the list",
    )
    add("--query", action="append", metavar="PATH", help="show this query, by its path or file name; repeatable")
    add_number(page, "--top", "images shown of a ranking", default=10, least=1)
    add_number(page, "--seed", "of the random choice", default=0)
