"""Renders short videos of look-alike objects and prepares a data set of them, in the layout of ImageNet VID.

    python -m dataset.prepare.synthetic_vid --out data/synthetic_vid

The data set has the evaluation sets train_eval, val_eval, easy_val_eval and query_gallery. No object is in both
training and validation. Equal settings give equal files, byte for byte. To resume an interrupted command, repeat it.
"""

import argparse
import functools
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset.formats.manifest import Tables
from dataset.formats.writing import write_prepared
from dataset.vid.annotations import Snippet
from dataset.vid.archive import index_split
from dataset.vid.crop_writer import PARTIAL, object_crops, write_all_crops
from dataset.vid.episode_sets import object_episodes, random_crop_episodes
from dataset.vid.selection import query_gallery_rows, train_rows
from dataset.vid.synthetic.render import render_snippet
from runtime.arguments import Parser, number
from runtime.errors import UserError, exit_code
from runtime.json_files import read_json, write_json
from runtime.parallel import cores, run_parallel
from runtime.printable import print_line, print_lines
from runtime.progress import Progress

GENERATOR = 2  # raise it when equal settings give other files than before
MIN_FRAMES = 3  # a snippet needs a first third and a rest
MAX_SNIPPETS = 99_999  # names have five digits
FRAMES_FOLDER = "vid"


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line, checked.

    Raises:
        UserError: when an argument is unknown, missing or invalid.
    """
    parser = Parser(
        prog="python -m dataset.prepare.synthetic_vid",
        description=__doc__.partition("\n")[0],
    )
    parser.add_argument("--out", required=True, type=Path, help="output folder, such as data/synthetic_vid")
    for name, default, low, high, text in (
        ("seed", 0, 0, 2**63 - 1, "random seed of objects, videos and episodes"),
        ("train_snippets", 150, 1, MAX_SNIPPETS, "number of training videos"),
        ("val_snippets", 60, 1, MAX_SNIPPETS, "number of validation videos"),
        ("frames", 8, MIN_FRAMES, 999_999, "frames per video"),
        ("episodes", 500, 1, 10**6, "episodes in each of the three episode sets"),
        ("workers", min(8, cores()), 1, 256, "number of processes"),
    ):
        text = f"{text} (default: %(default)s)"
        parser.add_argument(f"--{name}", type=number(int, low, high), default=default, metavar="N", help=text)
    kept = f"keep the frames and annotations in OUT/{FRAMES_FOLDER}"
    parser.add_argument("--keep_frames", action="store_true", help=kept)
    only = f"write only annotations, to OUT/{FRAMES_FOLDER}, as input for dataset.prepare.imagenetvid index"
    parser.add_argument("--annotations_only", action="store_true", help=only)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepares the data set.

    Raises:
        UserError: for invalid arguments, or when OUT has other files than this data set.
    """
    arguments = parse_arguments(argv)
    settings = {"generator": GENERATOR, **vars(arguments)}
    for name in ("out", "workers") if arguments.annotations_only else ("out", "workers", "annotations_only"):
        del settings[name]
    if already_prepared(arguments.out, settings):
        print_line(f"{arguments.out}: already prepared")
        return
    started = time.monotonic()
    write_json(arguments.out / "settings.json", settings)
    if arguments.annotations_only:
        render(arguments.out / FRAMES_FOLDER, settings, arguments.workers, pixels=False)
        print_lines(f"\n{arguments.out / FRAMES_FOLDER}: annotations written in {time.monotonic() - started:.0f} s")
        return
    counts = prepare(arguments.out, settings, arguments.workers)
    print_lines(f"\n{arguments.out}: prepared in {time.monotonic() - started:.0f} s")
    for name, value in counts.items():
        print_line(f"  {name:<24}{value:>8}")


def already_prepared(out: Path, settings: dict[str, Any]) -> bool:
    """Whether `out` is complete; False if it must be made or finished.

    Raises:
        UserError: when `out` has other files, or files of other settings.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not out.is_dir():
        raise UserError(f"{out}: this is a file, not a folder; give another --out")
    if not (out / "settings.json").exists():
        raise UserError(f"{out}: this folder is not empty and was not made by this command; give another --out")
    found = read_json(out / "settings.json")
    if found != settings:
        found = found if isinstance(found, dict) else {}
        names = [name for name in {**settings, **found} if settings.get(name) != found.get(name)]
        differences = ", ".join(f"{name} {found.get(name)} instead of {settings.get(name)}" for name in names)
        raise UserError(f"{out}: it was made with other settings ({differences}); give another --out or delete it")
    return (out / "dataset.json").exists()


def prepare(out: Path, settings: dict[str, Any], workers: int) -> dict[str, int]:
    """Renders and crops the videos, and writes the data set, with dataset.json last. Returns the counts."""
    seed, root = settings["seed"], out / FRAMES_FOLDER
    render(root, settings, workers)
    train, val = _read(root, "train", workers), _read(root, "val", workers)
    rows = train_rows(train)
    query, gallery = query_gallery_rows(val, seed)
    episode_sets = [
        object_episodes(train, "train_eval", settings["episodes"], seed),
        object_episodes(val, "val_eval", settings["episodes"], seed),
        random_crop_episodes(val, "easy_val_eval", settings["episodes"], seed),
    ]
    if not rows:
        raise UserError("no object is seen twice in the training videos; raise --train_snippets or --frames")

    crops = [object_crops(root, out, frame) for snippet in train + val for frame in snippet.frames if frame.objects]
    crops += [task for episodes in episode_sets for task in episodes.random_crop_tasks(root, out)]
    cut = write_all_crops(crops, workers, Progress("cropped", len(crops), "frames"))
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    if cut.problems:
        raise UserError(f"{cut.problems[0].file}: {cut.problems[0].problem}")

    if not query:
        print_line("query_gallery: skipped, as no object is seen both early and late in a validation video")
    for episodes in episode_sets:
        if episodes.shortfall:
            print_line(episodes.shortfall)
    counts = {
        "train snippets": len(train),
        "train identities": len({identity for identity, *_ in rows}),
        "train images": len(rows),
        "validation snippets": len(val),
        "query images": len(query),
        "gallery images": len(gallery),
        **{f"{episodes.name} episodes": len(episodes.episodes) for episodes in episode_sets},
        "crops": cut.written + cut.existing,
    }
    if not settings["keep_frames"]:
        shutil.rmtree(root)
    info = {
        "name": "synthetic_vid",
        "origin": f"rendered by dataset.prepare.synthetic_vid, seed {seed}",
        "licence": "none needed: computer-generated",
        "image_root": ".",
        "counts": counts,
    }
    tables: Tables = {"train.csv": rows, "query.csv": query, "gallery.csv": gallery}
    write_prepared(out, tables, [(each.name, each.episodes, each.attributes) for each in episode_sets], info)
    return counts


def render(root: Path, settings: dict[str, Any], workers: int, pixels: bool = True) -> None:
    """Writes frames and annotations below `root`; without `pixels`, only the annotations."""
    numbers = {"train": settings["train_snippets"], "val": settings["val_snippets"]}
    snippets = [(split, number) for split, count in numbers.items() for number in range(count)]
    progress = Progress("rendered", len(snippets), "snippets")
    one = functools.partial(render_snippet, root, settings["frames"], settings["seed"], pixels)
    for done, _ in enumerate(run_parallel(one, snippets, workers), start=1):
        progress(done)


def _read(root: Path, split: str, workers: int) -> list[Snippet]:
    index = index_split(root, split, workers)
    if index.problems:
        raise UserError(str(index.problems[0]))
    return list(index.snippets())


if __name__ == "__main__":
    sys.exit(exit_code(main))
