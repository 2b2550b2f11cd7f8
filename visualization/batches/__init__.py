"""Rankings within a batch: each image as a query against the others, with distances.

The batch is a training batch, augmented as in training, or drawn from an evaluation set (--eval_set). The hardest
positive (farthest image of the query's identity) and the hardest negative (nearest image of another identity) are
marked: batch-hard losses train on these. Batch norm uses its averages, as in evaluation.

>>> from visualize import parse
>>> parse(["batches", "--model_dir", "runs/demo", "--queries", "8"]).queries
8
"""

import argparse

from model.run.arguments import add_run_arguments
from visualization.sources.arguments import add_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add = parser.add_argument
    add("--checkpoint", default="latest", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)")
    add_number(parser, "--step", "training step of the batch, from 0 (default: the checkpoint's step)")
    add("--eval_set", metavar="NAME", help="draw the batch from this set instead: test or query_gallery")
    add_number(parser, "--seed", "random seed of that draw", default=0)
    add_number(parser, "--queries", "show only the N worst queries (default: all, in the order of the batch)", least=1)
    add_number(parser, "--top", "number of nearest images", default=10, least=1)
    add("--out", metavar="FILE", help=".html or .png (default: RUN/pictures/batches.html)")
