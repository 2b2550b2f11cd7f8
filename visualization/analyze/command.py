"""Runs `visualize.py analyze`."""

import argparse
from pathlib import Path

from model.evaluation.by_class.analysis import Analysis, analyze
from model.evaluation.by_class.summary import as_json, as_text
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.json_files import write_json
from visualization.analyze.analysis_page import render_analysis
from visualization.kit.printable import printable
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.opening import open_source
from visualization.sources.output import check_output_file

_NAMES = ("analysis.html", "analysis.json")
_SUFFIXES = (".html", ".json")


def run(args: argparse.Namespace) -> int:
    files = _outputs(args)
    embedded = open_source(args)
    analysis = analyze(
        embedded.task,
        embedded.distances(),
        embedded.query.identities,
        embedded.gallery.identities,
        embedded.metric,
        args.memory_gb,
    )
    print(printable(f"{embedded.title}: metric {embedded.metric}, excluder {embedded.task.rules}"))
    print(printable(as_text(analysis, args.classes, args.pairs)))
    for file in files:
        if file.suffix.lower() == ".html":
            _write_page(file, analysis, embedded, args)
        else:
            paths = embedded.query.paths, embedded.gallery.paths
            write_json(file, as_json(analysis, embedded.title, embedded.facts, *paths))
        print(f"wrote {printable(file)}")
    return 0


def _outputs(args: argparse.Namespace) -> list[Path]:
    """The files to write, each known to be writable; checks the source's arguments first."""
    given = [Path(out) for out in args.out] if args.out else []
    files: list[Path] = []
    for out in given:
        folder = out.is_dir() or (not out.suffix and out.parent.is_dir())
        if folder:
            out.mkdir(exist_ok=True)
        files += [out / name for name in _NAMES] if folder else [out]
    paths = [file.resolve() for file in files]
    if twice := next((file for file, path in zip(files, paths, strict=True) if paths.count(path) > 1), None):
        raise UserError(f"--out {twice}: it is named twice; give each file once")
    if not files:
        return [check_output_file(args, None, name, _SUFFIXES) for name in _NAMES]
    return [check_output_file(args, file, _NAMES[0], _SUFFIXES) for file in files]


def _write_page(file: Path, analysis: Analysis, embedded: EmbeddedSet, args: argparse.Namespace) -> None:
    page, missing = render_analysis(analysis, embedded, args.classes, args.pairs)
    with replace_file(file) as out:
        out.write(page)
    if missing:
        print(f"{len(missing):,} of the examples' images cannot be opened, the first is {printable(missing[0])}")
    elif args.pairs and analysis.pairs and None in (embedded.query.files, embedded.gallery.files):
        print("no pictures on the page: it is not known where the images are; --image_root says")
