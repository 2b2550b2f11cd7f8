"""Prepares ImageNet VID 2015: crops of all objects, a training list, and episodes.

    python -m dataset.prepare.imagenetvid crop   --root data/ILSVRC2015 --out data/imagenetvid
    python -m dataset.prepare.imagenetvid curate --out data/imagenetvid --seed 0

--root is the unpacked archive with Annotations/VID and Data/VID. `crop` reads the annotations, stores them in
OUT/index, and writes OUT/crops. To resume it after an interruption, repeat the command: the files are the same as
without one. `curate` selects from the index; equal seeds give equal lists. Invalid files are skipped, counted, and
listed in OUT/problems_<split>.csv.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset.vid.annotations import SPLITS
from dataset.vid.crop import check_frames, crop_split, report_problems, up_to_date_index
from dataset.vid.curate import curate
from dataset.vid.episode_sets import MAX_IOU, RANDOM_CROPS
from dataset.vid.output_folder import OutputFolder
from dataset.vid.siamfc_crops import DEFAULT, CropSettings
from runtime.arguments import Parser, number
from runtime.counting import counted
from runtime.errors import UserError, exit_code
from runtime.json_files import write_json
from runtime.parallel import cores
from runtime.printable import print_line

# For each command: flag, default, kind, lowest and highest value, meaning.
_WORKERS = ("workers", cores(), int, 1, 1024, "number of processes")
_NUMBERS = {
    "crop": (
        ("context", DEFAULT.context, float, 0, 100, "margin around a box, as a fraction of its width + height"),
        ("exemplar_size", DEFAULT.exemplar, int, 1, 10_000, "size of a box with its margin inside a crop, in pixels"),
        ("search_size", DEFAULT.search, int, 2, 10_000, "side of a crop, in pixels"),
        ("quality", DEFAULT.quality, int, 1, 100, "JPEG quality of the crops"),
        ("min_box", DEFAULT.min_box, float, 0, 100_000, "skip objects with a side of fewer pixels"),
        _WORKERS,
    ),
    "curate": (
        ("seed", 0, int, 0, 2**63 - 1, "random seed of the episodes"),
        ("episodes", 10_000, int, 1, 10**6, "episodes in each of the three evaluation sets"),
        ("random_crops", RANDOM_CROPS, int, 1, 100, "random crops per episode of easy_val_eval, from its second frame"),
        ("max_iou", MAX_IOU, float, 0.01, 1, "a random crop's IoU with the positive must be smaller than this"),
        _WORKERS,
    ),
    "index": (_WORKERS,),
}


def _folder(text: str) -> Path:
    if not text or not text.isprintable():  # it is printed, and written to settings.json
        raise argparse.ArgumentTypeError(f"{text!a}: the name of a folder must be printable UTF-8 text")
    return Path(text)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line, checked.

    Raises:
        UserError: when an argument is unknown, missing or invalid.
    """
    parser = Parser(
        prog="python -m dataset.prepare.imagenetvid",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{crop,curate,index}")
    for name, text in (
        ("crop", "read the annotations and cut out all objects"),
        ("curate", "make train.csv and the episodes"),
        ("index", "only read the annotations, for statistics and for lists without frames"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name != "curate":
            command.add_argument(
                "--root", required=True, type=_folder, help="unpacked archive, such as data/ILSVRC2015"
            )
            command.add_argument("--split", choices=SPLITS, help="only this split (default: every split in --root)")
            command.add_argument("--reindex", action="store_true", help="read the annotations again; crops are kept")
        command.add_argument("--out", required=True, type=_folder, help="output folder, such as data/imagenetvid")
        for flag, default, kind, low, high, meaning in _NUMBERS[name]:
            meaning = f"{meaning} (default: %(default)s)"
            command.add_argument(f"--{flag}", type=number(kind, low, high), default=default, metavar="N", help=meaning)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command.

    Raises:
        UserError: for invalid arguments, or folders with missing or wrong files.
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
            what = f"--exemplar_size {sizes[0]} is more than --search_size {sizes[1]}, so boxes would be cut off"
            raise UserError(f"{what}; lower --exemplar_size")
        settings = CropSettings(arguments.context, *sizes, arguments.quality, arguments.min_box)
        for split in splits:
            check_frames(arguments.root, split)
    folder.agreed(arguments.root, settings)
    with folder.at_work():
        write_json(folder.settings_json, folder.agreed(arguments.root, settings))
        # Read all annotations first: their errors appear before hours of cropping.
        indices = [up_to_date_index(folder, split, arguments.workers, arguments.reindex) for split in splits]
        without = []
        for index in indices:
            if not settings:
                number_of_frames = counted(index.frame_count, "frame")
                print_line(f"{index.split}: {counted(len(index.trackids), 'object')} in {number_of_frames}")
                report_problems(folder, index.split, index.problems)
            elif not crop_split(folder, index, arguments.workers):
                without.append(index)  # the other split may be complete
        if without:
            frames, count = folder.root / "Data" / "VID" / without[0].split, without[0].frame_count
            raise UserError(
                f"{frames}: none of its {count:,} frames gave a crop; check that the archive is unpacked there"
            )
    print_line(f"next: python -m dataset.prepare.imagenetvid curate --out {shlex.quote(str(arguments.out))} --seed 0")


def _splits(root: Path, split: str | None) -> list[str]:
    """The splits to prepare.

    Raises:
        UserError: when there are no annotations.
    """
    top = root / "Annotations" / "VID"
    there = [name for name in SPLITS if (top / name).is_dir()]
    if not there or (split and split not in there):
        wanted = top / (split or "train or val")
        raise UserError(f"{wanted}: no such folder; --root must be the folder with Annotations/VID and Data/VID")
    return [split] if split else there


def run() -> int:
    """Runs the command and returns its exit code. After Ctrl-C it prints how to resume."""
    code = exit_code(main)
    if code == 130:
        print_line("finished work is kept; to resume, repeat the command", error=True)
    return code


if __name__ == "__main__":
    sys.exit(run())
