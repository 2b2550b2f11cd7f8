"""Makes the index of a split from its annotations, and a crop of every object."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from dataset.vid.annotations import Problem
from dataset.vid.archive import index_split, listing
from dataset.vid.crop_writer import object_crops, write_all_crops
from dataset.vid.index import SplitIndex, read_index, write_index
from dataset.vid.output_folder import OutputFolder, without_small
from dataset.vid.statistics import count_problems
from runtime.counting import counted
from runtime.errors import UserError
from runtime.json_files import write_json
from runtime.printable import print_line
from runtime.progress import Progress

_BYTES_PER_CROP = 11_000  # a 255x255 JPEG of quality 90, on average; to warn of a disk that is too small
_EXAMPLES = 3  # printed problems of each kind; the file has all


def up_to_date_index(folder: OutputFolder, split: str, workers: int, reindex: bool = False) -> SplitIndex:
    """The index of a split. It is made again with `reindex`, or if annotation files were added or removed."""
    file = folder.index_file(split)
    if file.exists() and not reindex:
        index = read_index(file)
        if index.listed == listing(folder.root, split):
            return index
        print_line(f"{split}: annotation files were added or removed; reading all again")
    folder.record_file(split).unlink(missing_ok=True)  # it belongs to the old index
    index = index_split(folder.root, split, workers, show_progress=True)
    folder.write_problems(split, index.problems)
    write_index(file, index)  # last: its existence means that all is done
    return index


def crop_split(folder: OutputFolder, index: SplitIndex, workers: int) -> bool:
    """Writes the missing crops of a split, and a record of all crops and problems.

    Returns:
        Whether there are any crops.

    Raises:
        UserError: when a file cannot be written. Files that cannot be read are counted as problems.
    """
    split, settings = index.split, folder.crop_settings
    index, chosen = without_small(index, settings.min_box)
    warn_of_small_disk(folder, split, len(index.trackids))
    root, out = folder.root, folder.path  # read once, not once per frame
    tasks = (object_crops(root, out, frame, settings) for frame in index.frames())
    counts = write_all_crops(tasks, workers, Progress(f"{split}: processed", index.frame_count, "frames"))

    top = root / "Data" / "VID" / split
    problems = [*index.problems, *counts.problems, *without_annotation(folder, index)]
    missing = sorted(Path(problem.file).relative_to(top).with_suffix("").as_posix() for problem in counts.problems)
    crops = counts.written + counts.existing
    folder.write_problems(split, problems)
    record = {"frames": index.frame_count, "crops": crops, "left_out": count_problems(problems) | chosen}
    write_json(folder.record_file(split), record | {"missing_frames": missing})  # <folder>/<frame>
    frames = index.frame_count - len(missing)
    print_line(
        f"{split}: {counted(crops, 'crop')} of {counted(frames, 'frame')}, {counts.existing:,} of them existed before"
    )
    report_problems(folder, split, problems, chosen)
    return crops > 0


def without_annotation(folder: OutputFolder, index: SplitIndex) -> list[Problem]:
    """A problem for each JPEG without an XML file, and for each folder of JPEGs without annotations."""
    frames, annotations = (folder.root / kind / "VID" / index.split for kind in ("Data", "Annotations"))
    problems = []
    for path in sorted(frames.glob("*" if index.split == "val" else "*/*")):  # folders of snippets
        where = annotations / path.relative_to(frames)
        if not path.is_dir():
            continue
        if not where.is_dir():
            problems.append(Problem(str(path), "no annotation", f"there is no folder {where}"))
            continue
        try:
            missing = _stems(path, ".JPEG") - _stems(where, ".xml")
        except OSError as error:
            problems.append(Problem(str(path), "folder cannot be read", str(error.strerror or error)))
            continue
        for stem in sorted(missing):
            problems.append(Problem(f"{path / stem}.JPEG", "no annotation", f"there is no {where / stem}.xml"))
    # File names may not be UTF-8; lists and terminals need UTF-8.
    return [Problem(*(text.encode("utf-8", "backslashreplace").decode() for text in problem)) for problem in problems]


def _stems(folder: Path, suffix: str) -> set[str]:
    return {file.stem for file in folder.iterdir() if file.suffix == suffix}


def warn_of_small_disk(folder: OutputFolder, split: str, crops: int) -> None:
    """Prints a warning if the disk seems too small for the missing crops."""
    need, free = crops * _BYTES_PER_CROP, shutil.disk_usage(folder.path).free
    if need > free and not folder.record_file(split).exists():
        print_line(
            f"warning: {split}: {crops:,} crops need about {need / 1e9:.0f} GB, less those that exist already, but "
            f"only {free / 1e9:.0f} GB are free in {folder.path}"
        )


def report_problems(
    folder: OutputFolder, split: str, problems: Sequence[Problem], chosen: dict[str, int] | None = None
) -> None:
    """Prints the skipped files and objects: their number and the first ones of each kind. `chosen` is only counted."""
    kinds = count_problems(problems)
    for kind, number in (chosen or {}).items():
        print_line(f"{split}: skipped as requested: {kind}: {number:,}")
    if not kinds:
        print_line(f"{split}: nothing {'else ' if chosen else ''}was skipped")
        return
    print_line(f"{split}: skipped the following; all reasons are in {folder.problems_file(split)}:")
    for kind, number in kinds.items():
        print_line(f"  {kind}: {number:,}")
        for problem in [problem for problem in problems if problem.kind == kind][:_EXAMPLES]:
            print_line(f"    {problem}")
    print_line(
        f"{split}: after fixing annotations, repeat the command with --reindex; after fixing images, just repeat it"
    )


def check_frames(root: Path, split: str) -> None:
    """Raises a UserError if there is no folder of frames, before reading annotations for minutes."""
    frames = root / "Data" / "VID" / split
    if not frames.is_dir():
        raise UserError(
            f"{frames}: no such folder; --root must be the folder with Annotations/VID and Data/VID "
            f"(to read annotations without frames, use the command index)"
        )
