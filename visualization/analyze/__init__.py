"""Recall@1, 2, 4 and 8 of all queries and by class, the hardest classes, the most confused pairs; page and JSON.

The numbers are those of evaluate.py. If classes have few queries (median below 5), recall by class says little; the
worst queries and the ranks of their first matches are shown instead. A table is printed; analysis.html and
analysis.json go to RUN/pictures, or next to Q.h5.

>>> from visualization.analyze.worst_queries import count_first_ranks
>>> count_first_ranks([1, 1, 1, 2, 7])
FirstRanks(labels=['1', '2', '3–4', '5–8'], counts=[3, 1, 0, 1])
"""

import argparse

from runtime.arguments import number
from visualization.sources.arguments import add_number, add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add(
        "--out",
        action="append",
        metavar="FILE",
        help="FILE.html or FILE.json (repeatable), or a folder for both (default: RUN/pictures, or the folder of Q.h5)",
    )
    add_number(parser, "--classes", "number of hardest classes, or of worst queries", default=10)
    add_number(parser, "--pairs", "number of most confused pairs", default=10)
    size = number(float, 0, ends=False)
    add("--memory_gb", type=size, default=1.0, metavar="GB", help="memory limit for blocks of distances (default: 1)")
