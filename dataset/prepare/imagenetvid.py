"""Prepares ImageNet VID 2015: crops of all objects, then training list and episodes.

    python -m dataset.prepare.imagenetvid crop   --root data/ILSVRC2015 --out data/imagenetvid
    python -m dataset.prepare.imagenetvid curate --out data/imagenetvid --seed 0

ROOT is the unpacked archive, which holds Annotations/VID and Data/VID. `crop` reads the annotations once, keeps them in
OUT/index, and writes OUT/crops; killed or interrupted, it resumes when it is started again, and ends with the same
files. `curate` chooses from the index; equal seeds give equal lists. What cannot be used is counted, listed with its
file in OUT/problems_<split>.csv, and left out.
"""

import argparse
import io
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset.vid.annotations import SPLITS
from dataset.vid.crop import check_frames, crop_split, tell_problems, up_to_date_index
from dataset.vid.curate import curate
from dataset.vid.episode_sets import MAX_IOU, RANDOM_CROPS
from dataset.vid.output_folder import OutputFolder
from dataset.vid.siamfc_crops import DEFAULT, CropSettings
from runtime.arguments import Parser, number
from runtime.errors import UserError, exit_code
from runtime.json_files import write_json
from runtime.parallel import cores

# Of each command: flag, default, kind, lowest and highest value, meaning.
_WORKERS = ("workers", cores(), int, 1, 1024, "processes")
_NUMBERS = {
    "crop": (
        ("context", DEFAULT.context, float, 0, 100, "margin around a box, in parts of its width + height"),
        ("exemplar_size", DEFAULT.exemplar, int, 1, 10_000, "pixels that the box with its margin takes in a crop"),
        ("search_size", DEFAULT.search, int, 2, 10_000, "side of a crop in pixels"),
        ("quality", DEFAULT.quality, int, 1, 100, "of the JPEG files"),
        ("min_box", DEFAULT.min_box, float, 0, 100_000, "objects with a side below this many pixels are left out"),
        _WORKERS,
    ),
    "curate": (
        ("seed", 0, int, 0, 2**63 - 1, "another seed gives other episodes"),
        ("episodes", 10_000, int, 1, 10**6, "of each of the three evaluation sets"),
        ("random_crops", RANDOM_CROPS, int, 1, 100, "of the second frame, in an episode of easy_val_eval"),
        ("max_iou", MAX_IOU, float, 0.01, 1, "IoU of a random crop's box and the positive's, exclusive"),
        _WORKERS,
    ),
    "index": (_WORKERS,),
}


def _folder(text: str) -> Path:
    if not text or not text.isprintable():  # it is printed, and written to settings.json
        raise argparse.ArgumentTypeError(f"{text!a} is not a folder's name in printable UTF-8 text")
    return Path(text)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads and checks the command line.

    Raises:
        UserError: when an argument is unknown, missing or not what it should be.
    """
    parser = Parser(
        prog="python -m dataset.prepare.imagenetvid",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{crop,curate,index}")
    for name, text in (
        ("crop", "cut out all objects (reads the annotations first)"),
        ("curate", "make train.csv and the episodes"),
        ("index", "only read the annotations: for statistics and lists without frames"),
    ):
        command = commands.add_parser(name, help=text)
        if name != "curate":
            command.add_argument("--root", required=True, type=_folder, help="the unpacked archive, as data/ILSVRC2015")
            command.add_argument("--split", choices=SPLITS, help="only this one (default: those that are there)")
            command.add_argument("--reindex", action="store_true", help="read the annotations again; crops are kept")
        command.add_argument("--out", required=True, type=_folder, help="folder to make, such as data/imagenetvid")
        for flag, default, kind, low, high, meaning in _NUMBERS[name]:
            meaning = f"{meaning} (default %(default)s)"
            command.add_argument(f"--{flag}", type=number(kind, low, high), default=default, metavar="N", help=meaning)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Does what the command line asks for.

    Raises:
        UserError: bad arguments, or folders that do not hold what they should.
    """
    arguments = parse_arguments(argv)
    folder = OutputFolder(arguments.out)
    if arguments.command == "curate":
        folder.check()
        wishes = {name: getattr(arguments, name) for name in ("seed", "episodes", "random_crops", "max_iou")}
        with folder.at_work():
            curate(folder, arguments.workers, **wishes)
        return

    splits = _splits(arguments.root, arguments.split)
    settings = None
    if arguments.command == "crop":
        sizes = arguments.exemplar_size, arguments.search_size
        if sizes[0] > sizes[1]:
            raise UserError(f"--exemplar_size {sizes[0]} is more than --search_size {sizes[1]}: boxes would be cut off")
        settings = CropSettings(arguments.context, *sizes, arguments.quality, arguments.min_box)
        for split in splits:
            check_frames(arguments.root, split)
    folder.agreed(arguments.root, settings)
    with folder.at_work():
        write_json(folder.settings_json, folder.agreed(arguments.root, settings))
        # All annotations first: what is wrong with them shows before hours of cropping.
        indices = [up_to_date_index(folder, split, arguments.workers, arguments.reindex) for split in splits]
        without = []
        for index in indices:
            if not settings:
                print(f"{index.split}: {len(index.trackids):,} objects in {index.frame_count:,} frames")
                tell_problems(folder, index.split, index.problems)
            elif not crop_split(folder, index, arguments.workers):
                without.append(index)  # the other split may be complete
        if without:
            frames, count = folder.root / "Data" / "VID" / without[0].split, without[0].frame_count
            raise UserError(f"{frames}: none of its {count:,} frames gave a crop; is the archive unpacked there?")
    print(f"next: python -m dataset.prepare.imagenetvid curate --out {shlex.quote(str(arguments.out))} --seed 0")


def _splits(root: Path, split: str | None) -> list[str]:
    """The splits to work on.

    Raises:
        UserError: when there are no annotations.
    """
    top = root / "Annotations" / "VID"
    there = [name for name in SPLITS if (top / name).is_dir()]
    if not there or (split and split not in there):
        wanted = top / (split or "train or val")
        raise UserError(f"{wanted}: no such folder; --root is the folder that holds Annotations/VID and Data/VID")
    return [split] if split else there


def run() -> int:
    """Exit code of the command; after Ctrl-C it says how to go on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # paths need not fit the terminal's encoding
    code = exit_code(main)
    if code == 130:
        print("what is finished is kept: the same command goes on from there", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(run())
