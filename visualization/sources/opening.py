"""Opens what a command's arguments name: a run, or files of embeddings."""

import argparse

from visualization.sources.arguments import check_source
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.from_files import _from_files
from visualization.sources.from_run import _from_run


def open_source(args: argparse.Namespace) -> "EmbeddedSet":
    """Reads, or computes, the embeddings that the arguments ask for.

    Raises:
        UserError: for arguments, files, lists, images or checkpoints that are wrong or do not belong together.
    """
    check_source(args)
    return _from_run(args) if args.model_dir else _from_files(args)
