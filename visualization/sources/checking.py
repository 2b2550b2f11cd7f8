"""Arguments that contradict each other or are out of range; needs no file."""

import argparse

from model.distances import list_distances
from model.metrics.excluders import find_excluder
from runtime.errors import UserError

_OF_RUNS = ("set", "checkpoint", "dataset", "eval_set")
_OF_FILES = ("query_dataset", "gallery_embeddings", "gallery_dataset", "image_root")


def check_source(args: argparse.Namespace) -> None:
    """Raises a UserError for arguments that contradict each other or name nothing; needs no file."""
    run, files = args.model_dir is not None, args.query_embeddings is not None
    if run and files:
        raise UserError("--model_dir and --query_embeddings: give one of them, a run or files of embeddings")
    if not run and not files:
        raise UserError("give --model_dir RUN, whose network embeds a set, or --query_embeddings Q.h5")
    wrong, kind = (_OF_FILES, "--query_embeddings Q.h5") if run else (_OF_RUNS, "--model_dir RUN")
    for name in wrong:
        if getattr(args, name):
            raise UserError(f"--{name} goes with {kind}: drop it")
    if args.gallery_dataset and not args.gallery_embeddings:
        raise UserError("--gallery_dataset needs --gallery_embeddings: without a gallery, queries rank each other")
    if args.metric is not None and args.metric not in list_distances():
        raise UserError(f"--metric {args.metric}: it must be one of {', '.join(list_distances())}")
    if args.excluder is not None:
        try:
            find_excluder(args.excluder)
        except UserError as error:
            raise UserError(f"--{error}") from None


def check_at_least(args: argparse.Namespace, **least: int) -> None:
    """Raises a UserError for a number below its least value."""
    for name, value in least.items():
        given = getattr(args, name)
        if given is not None and given < value:
            raise UserError(f"--{name} {given}: it must be at least {value}")
