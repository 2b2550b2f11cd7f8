"""What the network makes of a batch: each image as a query against the others, ranked, with distances.

The batch is one of training, augmented as training gets it, or, with --eval_set, drawn from an evaluation set. Marked
are the hardest positive, the farthest image of the query's identity, and the hardest negative, the nearest of another:
what batch-hard losses train on. Embeddings are those of inference: batch norm uses its averages.
"""

import argparse

from model.run.arguments import add_run_arguments
from visualization.sources.arguments import add_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add = parser.add_argument
    add("--checkpoint", default="latest", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)")
    add_number(parser, "--step", "the batch of this training step, from 0 (default: the checkpoint's)")
    add("--eval_set", metavar="NAME", help="a batch drawn from this set instead: test or query_gallery")
    add_number(parser, "--seed", "of that draw", default=0)
    add_number(parser, "--queries", "show only the N worst queries (default: all, in the batch's order)", least=1)
    add_number(parser, "--top", "images shown of a ranking", default=10, least=1)
    add("--out", metavar="FILE", help=".html or .png (default: RUN/pictures/batches.html)")
