"""Queries and their nearest images in the whole gallery, right and wrong ones marked, with distances.

Each row is a query and the gallery images nearest to it, ranked as in the evaluation: excluded images are not shown,
and at equal distances the wrong image comes first. Best and worst queries are chosen by average precision.

>>> import numpy as np
>>> from visualization.rankings.ranked import QueryMetrics, choose_queries
>>> metrics = QueryMetrics(aps=np.array([0.2, 1.0, 0.6]), margins=np.zeros(3), first_ranks=np.array([5, 1, 2]))
>>> choose_queries(metrics, 1, "worst", seed=0)
[('worst', 0)]
"""

import argparse

from visualization.sources.arguments import add_number, add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    page = parser.add_argument_group("the page")
    add = page.add_argument
    add("--out", metavar="FILE", help=".html or .png (default: rankings.html in RUN/pictures or next to Q.h5)")
    add_number(page, "--queries", "number of queries", default=12, least=1)
    add(
        "--show",
        default="mixed",
        choices=("mixed", "best", "worst", "random", "all"),
        help="mixed: worst, best and random ones, a third each (default); all: every query, in the order of the list",
    )
    add("--query", action="append", metavar="PATH", help="show this query, by its path or file name; repeatable")
    add_number(page, "--top", "number of nearest images", default=10, least=1)
    add_number(page, "--seed", "random seed of the choice", default=0)
