"""What the pipeline feeds the network: real training batches, augmented, beside the images as they were.

The batches are those of the run's own steps, to the pixel. No network is needed, and no checkpoint: a file of
parameters does. The page (.html) needs no network and no file beside it; .png is one picture.
"""

import argparse

from visualization.sources.arguments import add_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_dir", metavar="RUN", help="run folder whose parameters to use")
    add("--params", metavar="FILE", help="or a file of parameters, such as params.json")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter; repeatable")
    add_number(parser, "--batches", "how many batches", default=1, least=1)
    add_number(parser, "--step", "the first one's training step, from 0", default=0)
    add("--augmented_only", action="store_true", help="leave out the images as they were")
    add("--out", metavar="FILE", help=".html or .png (default: RUN/pictures/data.html)")
