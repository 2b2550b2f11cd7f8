"""The file that a command writes: where it is by default, and whether it can be written."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from runtime.errors import UserError
from runtime.files import check_output
from visualization.sources.checking import check_source

_PICTURES = "pictures"  # the folder in a run


def default_folder(args: argparse.Namespace) -> Path:
    """Where pictures go if nothing else is said: RUN/pictures, or the folder of the HDF5 file."""
    return Path(args.model_dir) / _PICTURES if args.model_dir else Path(args.query_embeddings).parent


def check_output_file(args: argparse.Namespace, default: str, suffixes: tuple[str, ...] = (".html", ".png")) -> Path:
    """The file that `--out` names, known to be writable; checks the source's arguments first.

    Args:
        args: with `out`, None for the default folder.
        default: the file's name there.
        suffixes: the endings that it may have.

    Raises:
        UserError: for another ending, a folder that is not there, or a place where nothing can be written.
    """
    check_source(args)
    named = (args.query_embeddings, args.query_dataset, args.gallery_embeddings, args.gallery_dataset)
    return check_picture_file(args.out, default_folder(args) / default, named, suffixes)


def check_picture_file(
    given: str | None,
    default: Path,
    inputs: Iterable[str | None] = (),
    suffixes: tuple[str, ...] = (".html", ".png"),
) -> Path:
    """The file to write, known to be writable: `given`, else `default`, whose folder is made in the run's.

    Raises:
        UserError: see `check_output_file`.
    """
    out = Path(given) if given else default
    if out.suffix.lower() not in suffixes:
        raise UserError(f"--out {out}: its name must end in {' or '.join(suffixes)}")
    if not given and default.parent.name == _PICTURES and default.parent.parent.is_dir():
        default.parent.mkdir(exist_ok=True)
    elif not given and not default.parent.is_dir():
        missing = default.parent.parent if default.parent.name == _PICTURES else default.parent
        raise UserError(f"{missing}: there is no such folder")
    check_output(out, "--out", default.name, [Path(file) for file in inputs if file])
    return out
