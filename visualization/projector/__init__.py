"""The embedding in TensorBoard's projector: vectors in three dimensions, with a small picture of each image.

Takes whole identities of the set; without identities, random images. A run's default is a retrieval set of its data
set, else its first set of episodes (identities unknown), else its training images.

>>> from visualize import parse
>>> parse(["projector", "--query_embeddings", "vectors.h5"]).images
2000
"""

import argparse

from visualization.sources.arguments import add_number, add_source_arguments

_MOST_IMAGES = (8192 // 16) ** 2  # of 16 x 16 pixels, in the largest picture that browsers accept


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, compared=False)
    default = "projector in RUN/pictures or next to Q.h5"
    parser.add_argument("--out", metavar="DIR", help=f"folder to write (default: {default})")
    add_number(
        parser, "--images", "number of images, taken by whole identities", default=2000, least=1, most=_MOST_IMAGES
    )
    add_number(parser, "--seed", "random seed of their choice", default=0, most=2**32 - 1)
