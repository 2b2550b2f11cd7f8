"""What in two images made the network find them similar: gradient-weighted maps, query beside match.

Shown are queries of a set with their nearest images, or named pairs. A map says how much each place of an image
adds to the similarity of the pair. With --query_embeddings the pairs are those of the files, whose attributes name the
checkpoint; the network runs on the CPU if there is no GPU.
"""

import argparse

from visualization.sources.arguments import add_number, add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help="PNG or HTML file (default: RUN/pictures/attention.png, or beside the HDF5 file)")
    add("--pair", nargs=2, action="append", metavar=("A.jpg", "B.jpg"), help="two image files to compare; repeatable")
    add_number(parser, "--queries", "queries of the set that are shown", default=6, least=1, most=60)
    add(
        "--show",
        default="mixed",
        choices=("mixed", "best", "worst", "random"),
        help="which: by average precision, at random, or a third of each (default: mixed)",
    )
    add(
        "--match",
        default="nearest",
        choices=("nearest", "right", "wrong"),
        help="with the nearest image, the nearest of the query's identity, or of another (default: nearest)",
    )
    add("--lowered", action="store_true", help="show what lowered the similarity instead of what raised it")
    add_number(parser, "--seed", "of random queries", default=0)
