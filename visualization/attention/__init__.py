"""Maps of the places in two images that made the network find them similar.

Shows queries of a set with their nearest images, or pairs of files. A map holds the contribution of each place to the
similarity of the pair. With --query_embeddings the pairs come from the files, whose attributes name the checkpoint;
the network runs on the CPU if there is no GPU.

>>> from visualization.attention.pairs import ChosenPair
>>> ChosenPair(files=("a.jpg", "b.jpg"), names=("a.jpg", "b.jpg"), identities=("car 1", "car 2")).verdict
'✗ wrong'
"""

import argparse

from visualization.sources.arguments import add_number, add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help=".png or .html (default: attention.png in RUN/pictures or next to Q.h5)")
    add("--pair", nargs=2, action="append", metavar=("A.jpg", "B.jpg"), help="compare two image files; repeatable")
    add_number(parser, "--queries", "number of queries", default=6, least=1, most=60)
    add(
        "--show",
        default="mixed",
        choices=("mixed", "best", "worst", "random"),
        help="best or worst queries by average precision, random ones, or a third of each (default: mixed)",
    )
    add(
        "--match",
        default="nearest",
        choices=("nearest", "right", "wrong"),
        help="compare with the nearest image, the nearest right one, or the nearest wrong one (default: nearest)",
    )
    add("--lowered", action="store_true", help="show the places that lowered the similarity")
    add_number(parser, "--seed", "random seed of the choice of queries", default=0)
