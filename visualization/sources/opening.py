"""Opens what a command's arguments name: a run, or files of embeddings."""

import argparse

from visualization.sources import from_files, from_run
from visualization.sources.checking import check_source
from visualization.sources.embedded_set import EmbeddedSet


def open_source(args: argparse.Namespace) -> EmbeddedSet:
    """Reads, or computes, the embeddings that the arguments ask for.

    Raises:
        UserError: for arguments, files, lists, images or checkpoints that are wrong or do not belong together.
    """
    check_source(args)
    return from_run.embed(args) if args.model_dir else from_files.read(args)
