"""Recall@1, 2, 4 and 8 class by class, the hardest classes and the most confused pairs: table, JSON and HTML.

The embeddings are those of a run's network or of HDF5 files, and the figures those of evaluate.py. A table is printed;
analysis.html and analysis.json are written to RUN/pictures, or beside the HDF5 file.
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
        help="FILE.html or FILE.json, repeatable, or a folder for both (default: RUN/pictures, or beside Q.h5)",
    )
    add_number(parser, "--classes", "show the N hardest classes", default=10)
    add_number(parser, "--pairs", "show the N most confused pairs", default=10)
    size = number(float, 0, ends=False)
    add("--memory_gb", type=size, default=1.0, metavar="GB", help="bound for blocks of distances (default: 1)")
