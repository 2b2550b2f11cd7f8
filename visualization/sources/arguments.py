"""Arguments for the source of embeddings, a run or HDF5 files, and for the output of a command.

Imports nothing heavy: --help stays quick. TensorFlow is imported for a run only.
"""

import argparse
import math
from pathlib import Path

from model.distances import list_distances
from model.run.arguments import add_run_arguments
from runtime import plugins
from runtime.arguments import number
from runtime.errors import UserError
from runtime.files import check_output

_INPUTS = ("query_embeddings", "query_dataset", "gallery_embeddings", "gallery_dataset", "params")
_OF_RUNS = ("set", "checkpoint", "dataset", "eval_set")
_OF_FILES = ("query_dataset", "gallery_embeddings", "gallery_dataset", "image_root")


def add_number(
    parser: argparse._ActionsContainer,
    flag: str,
    help: str,
    *,
    default: float | None = None,
    least: float = 0,
    most: float = math.inf,
    kind: type[int] | type[float] = int,
) -> None:
    """Adds a numeric argument from `least` to `most`; its help names the default."""
    said = "" if default is None else f" (default: {default:g})"
    parser.add_argument(flag, type=number(kind, least, most), default=default, metavar="N", help=help + said)


def add_source_arguments(parser: argparse.ArgumentParser, *, compared: bool = True) -> None:
    """Adds --model_dir, --query_embeddings and their options; with `compared`, also --metric and --excluder."""
    run = parser.add_argument_group("embeddings from a run's network")
    add_run_arguments(run, required=False)
    run.add_argument("--checkpoint", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)")
    run.add_argument("--dataset", metavar="NAME", help="prepared data set (default: the run's)")
    run.add_argument("--eval_set", metavar="NAME", help="test or query_gallery (default: test where there is one)")
    files = parser.add_argument_group("embeddings from files of embed.py (needs no TensorFlow and no GPU)")
    files.add_argument("--query_embeddings", metavar="Q.h5", help="the queries' embeddings")
    files.add_argument(
        "--query_dataset", metavar="Q.csv", help="list of the queries (default: paths and identities in Q.h5)"
    )
    files.add_argument(
        "--gallery_embeddings",
        metavar="G.h5",
        help="the gallery's embeddings (default: rank the queries against each other)",
    )
    files.add_argument(
        "--gallery_dataset", metavar="G.csv", help="list of the gallery (default: paths and identities in G.h5)"
    )
    files.add_argument(
        "--image_root",
        metavar="DIR",
        help="folder that the paths start from (default: the one in the list's dataset.json, else the list's folder)",
    )
    if not compared:
        parser.set_defaults(metric=None, excluder="diagonal")
        return
    both = parser.add_argument_group("comparison")
    both.add_argument(
        "--metric",
        metavar="NAME",
        choices=list_distances(),
        help=f"{', '.join(list_distances())} (default: the metric of the training, else euclidean)",
    )
    both.add_argument(
        "--excluder",
        metavar="NAME",
        choices=plugins.choices("model.metrics.excluders"),
        help="gallery images that no query is compared with, as for evaluate.py: diagonal, market1501, ...",
    )


def check_source(args: argparse.Namespace) -> None:
    """Raises a UserError for contradicting arguments; reads no file."""
    if args.model_dir and args.query_embeddings:
        raise UserError("--model_dir and --query_embeddings: give one of them, a run or files of embeddings")
    if not args.model_dir and not args.query_embeddings:
        raise UserError("no embeddings: give --model_dir RUN to embed a set now, or --query_embeddings Q.h5")
    wrong, kind = (_OF_FILES, "--query_embeddings Q.h5") if args.model_dir else (_OF_RUNS, "--model_dir RUN")
    for name in wrong:
        if getattr(args, name):
            raise UserError(f"--{name} goes with {kind}; drop it")
    if args.gallery_dataset and not args.gallery_embeddings:
        raise UserError(
            "--gallery_dataset needs --gallery_embeddings; give both, or neither to rank queries against each other"
        )
    if args.gallery_embeddings and not args.excluder:
        names = ", ".join(plugins.choices("model.metrics.excluders"))
        raise UserError(f"--excluder is missing: choose the images that no query is compared with ({names})")


def check_output_file(
    args: argparse.Namespace, given: str | Path | None, default: str, suffixes: tuple[str, ...] = (".html", ".png")
) -> Path:
    """The file to write, which can be written; checks the source's arguments first, if there are any.

    Args:
        args: the command's arguments.
        given: the file that the user named; None for `default` in RUN/pictures, which is made, or next to Q.h5.
        default: the file's name there.
        suffixes: allowed endings.

    Raises:
        UserError: for another ending, a folder that does not exist, or a place that cannot be written.
    """
    if "query_embeddings" in args:
        check_source(args)
    out = Path(given or default)
    if out.suffix.lower() not in suffixes:
        raise UserError(f"--out {out}: its name must end in {' or '.join(suffixes)}")
    out = out if given else _default_folder(args) / default
    inputs = [getattr(args, name, None) for name in _INPUTS]
    check_output(out, "--out", default, [Path(file) for file in inputs if file])
    return out


def check_output_folder(args: argparse.Namespace, given: str | None, default: str, own: set[str]) -> Path:
    """The folder to write to, which is made; checks the source's arguments first.

    Args:
        args: the command's arguments.
        given: the folder that the user named; None for `default` in RUN/pictures, or next to Q.h5.
        default: the folder's name there.
        own: names of the files written into it. A folder with other files is not touched.

    Raises:
        UserError: for wrong arguments, a file, a folder with other files, or a place that cannot be written.
    """
    check_source(args)
    out = Path(given) if given else _default_folder(args) / default
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: this is a file; name a folder")
    if out.is_dir() and (foreign := sorted({entry.name for entry in out.iterdir()} - own)):
        raise UserError(f"--out {out}: the folder has other files ({foreign[0]}); name another folder")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.absolute().parent} does not exist; make it first")
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from error
    return out


def _default_folder(args: argparse.Namespace) -> Path:
    """RUN/pictures, which is made, or the folder of Q.h5."""
    folder = Path(args.model_dir or Path(args.query_embeddings).parent)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    if args.model_dir:
        folder = folder / "pictures"
        folder.mkdir(exist_ok=True)
    return folder
