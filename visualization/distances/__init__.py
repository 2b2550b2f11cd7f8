"""Histograms of the distances of positive and negative pairs, with the threshold at a false positive rate.

Counts all pairs of a query and a gallery image; nothing is sampled. The threshold is that of evaluate.py.

>>> import numpy as np
>>> from visualization.distances.histograms import BINS, Spread
>>> Spread(np.bincount([1, 2, 2], minlength=BINS + 2), mean=0.5, std=0.1).total
3
"""

import argparse

from runtime.arguments import number
from visualization.sources.arguments import add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help=".png or .html (default: distances.png in RUN/pictures or next to Q.h5)")
    rate = number(float, 0, 1, ends=False)
    add("--fpr", type=rate, default=1e-3, metavar="RATE", help="false positive rate of the threshold (default: 0.001)")
    add("--log", action="store_true", help="logarithmic densities, which show the tails")
