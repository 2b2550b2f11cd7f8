"""The file that a command writes: where it is by default, and whether it can be written."""

import argparse
from pathlib import Path

from runtime.errors import UserError
from runtime.files import check_output
from visualization.sources.arguments import check_source

_INPUTS = ("query_embeddings", "query_dataset", "gallery_embeddings", "gallery_dataset", "params")


def check_output_file(
    args: argparse.Namespace, given: str | Path | None, default: str, suffixes: tuple[str, ...] = (".html", ".png")
) -> Path:
    """The file to write, known to be writable; checks the source's arguments first, where there are any.

    Args:
        args: of the command.
        given: the file that the user named; None for `default` in RUN/pictures, which is made, or beside Q.h5.
        default: the file's name there.
        suffixes: the endings that it may have.

    Raises:
        UserError: for another ending, a folder that is not there, or a place where nothing can be written.
    """
    if "query_embeddings" in args:
        check_source(args)
    out = Path(given or default)
    if out.suffix.lower() not in suffixes:
        raise UserError(f"--out {out}: its name must end in {' or '.join(suffixes)}")
    if not given:
        folder = Path(args.model_dir or Path(args.query_embeddings).parent)
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder")
        if args.model_dir:
            folder = folder / "pictures"
            folder.mkdir(exist_ok=True)
        out = folder / default
    inputs = [getattr(args, name, None) for name in _INPUTS]
    check_output(out, "--out", default, [Path(file) for file in inputs if file])
    return out
