"""Where a command of visualize.py takes its embeddings from: a run, whose network embeds a set now, or HDF5 files.

Imports nothing heavy, so that --help is quick; TensorFlow is imported for a run only.
"""

import argparse

from model.distances import list_distances
from model.run.arguments import add_run_arguments


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --model_dir and --query_embeddings, and all that goes with either."""
    run = parser.add_argument_group("embeddings by a run's network")
    add_run_arguments(run, required=False)
    run.add_argument("--checkpoint", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)")
    run.add_argument("--dataset", metavar="NAME", help="prepared data set (default: that of the run)")
    run.add_argument("--eval_set", metavar="NAME", help="test or query_gallery (default: test where there is one)")
    files = parser.add_argument_group("embeddings in files of embed.py: needs no TensorFlow and no GPU")
    files.add_argument("--query_embeddings", metavar="Q.h5", help="the queries' embeddings")
    files.add_argument("--query_dataset", metavar="Q.csv", help="their list (default: what Q.h5 says itself)")
    files.add_argument("--gallery_embeddings", metavar="G.h5", help="the gallery's (default: queries against another)")
    files.add_argument("--gallery_dataset", metavar="G.csv", help="its list")
    files.add_argument(
        "--image_root",
        metavar="DIR",
        help="where the lists' paths start (default: as the dataset.json beside a list says, else beside the list)",
    )
    both = parser.add_argument_group("how they are compared")
    both.add_argument(
        "--metric",
        metavar="NAME",
        help=f"{', '.join(list_distances())} (default: that of the training, else euclidean)",
    )
    both.add_argument(
        "--excluder", metavar="NAME", help="what no query is compared with, as for evaluate.py: diagonal, market1501..."
    )
