"""TensorBoard's embedding projector: the vectors in three dimensions, with a small image of each and its identity.

Whole identities are taken from the set; without identities, images at random. For a run, that is a retrieval set of its
data set; if there is none, the first set of episodes (identities unknown); without these, the training images.
"""

import argparse

from visualization.sources.arguments import add_number, add_source_arguments

_MOST_IMAGES = (8192 // 16) ** 2  # in the largest picture that browsers take, of 16 pixels a side each


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, compared=False)
    default = "RUN/pictures/projector, or projector beside Q.h5"
    parser.add_argument("--out", metavar="DIR", help=f"folder to write (default: {default})")
    add_number(parser, "--images", "images to show, by whole identities", default=2000, least=1, most=_MOST_IMAGES)
    add_number(parser, "--seed", "of their choice", default=0, most=2**32 - 1)
