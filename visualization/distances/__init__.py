"""Distances of positive and negative pairs: their histograms, and the threshold of a false positive rate.

Counts all pairs of a query and a gallery image, in blocks: no sample. The threshold is the one that evaluate.py gives.
"""

import argparse

from runtime.arguments import number
from visualization.sources.arguments import add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help="PNG or HTML file (default: RUN/pictures/distances.png, or beside the HDF5 file)")
    rate = number(float, 0, 1, ends=False)
    add("--fpr", type=rate, default=1e-3, metavar="RATE", help="false positive rate of the threshold (default: 0.001)")
    add("--log", action="store_true", help="logarithmic densities, which show the tails")
