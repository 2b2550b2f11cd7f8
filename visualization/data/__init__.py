"""Training batches as the network gets them, augmented, next to the images without augmentation.

The batches are exactly those of the run's training steps. Needs no network and no checkpoint; a file of parameters is
enough.

>>> from visualize import parse
>>> parse(["data", "--params", "params.json", "--out", "data.html"]).batches
1
"""

import argparse

from visualization.sources.arguments import add_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_dir", metavar="RUN", help="take the parameters of this run")
    add("--params", metavar="FILE", help="take the parameters of this file, such as params.json")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter; repeatable")
    add_number(parser, "--batches", "number of batches", default=1, least=1)
    add_number(parser, "--step", "training step of the first batch, from 0", default=0)
    add("--augmented_only", action="store_true", help="omit the images without augmentation")
    add("--out", metavar="FILE", help=".html or .png (default: RUN/pictures/data.html)")
