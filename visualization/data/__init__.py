"""What the pipeline feeds the network: real training batches, augmented, beside the images as they were.

The batches are those of the run's own steps, to the pixel. No network is needed, and no checkpoint: a file of
parameters does. The page (.html) needs no network and no file beside it; .png is one picture.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_dir", metavar="RUN", help="run folder whose parameters to use")
    add("--params", metavar="FILE", help="or a file of parameters, such as params.json")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter; repeatable")
    add("--batches", type=int, default=1, metavar="N", help="how many batches (default: 1)")
    add("--step", type=int, default=0, metavar="N", help="the first one's training step, from 0 (default: 0)")
    add("--augmented_only", action="store_true", help="leave out the images as they were")
    add("--out", metavar="FILE", help=".html or .png (default: RUN/pictures/data.html)")
