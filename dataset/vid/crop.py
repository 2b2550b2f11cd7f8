"""Reads the annotations of a split into its index, and cuts a crop of every object."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from dataset.vid.annotations import Problem
from dataset.vid.archive import index_split, listing
from dataset.vid.crop_writer import object_crops, write_all_crops
from dataset.vid.index import SplitIndex, read_index, write_index
from dataset.vid.output_folder import OutputFolder, without_small
from dataset.vid.statistics import count_problems
from runtime.errors import UserError
from runtime.json_files import write_json
from runtime.progress import Progress

_BYTES_PER_CROP = 11_000  # a 255x255 JPEG of quality 90, on average; to tell a disk that is too small
_EXAMPLES = 3  # problems of a kind that are printed; the file has all


def up_to_date_index(folder: OutputFolder, split: str, workers: int, anew: bool = False) -> SplitIndex:
    """The index of a split: read, or made where there is none, where it is to be made anew, or files came or went."""
    file = folder.index_file(split)
    if file.exists() and not anew:
        index = read_index(file)
        if index.listed == listing(folder.root, split):
            return index
        print(f"{split}: other files than when its annotations were read; reading them again")
    folder.record_file(split).unlink(missing_ok=True)  # it belongs to the old index
    index = index_split(folder.root, split, workers, show_progress=True)
    folder.write_problems(split, index.problems)
    write_index(file, index)  # last: with it, this is done
    return index


def crop_split(folder: OutputFolder, index: SplitIndex, workers: int) -> bool:
    """Writes the crops of a split, whose index is given, that are not there yet, and what became of them.

    Returns:
        Whether there is any in the end.

    Raises:
        UserError: when nothing can be written; files that cannot be read are counted instead.
    """
    split, settings = index.split, folder.crop_settings
    index, chosen = without_small(index, settings.min_box)
    tell_disk(folder, split, len(index.trackids))
    root, out = folder.root, folder.path  # read once, not for every frame
    tasks = (object_crops(root, out, frame, settings) for frame in index.frames())
    counts = write_all_crops(tasks, workers, Progress(f"{split}: looked at", index.frame_count, "frames"))

    top = root / "Data" / "VID" / split
    problems = [*index.problems, *counts.problems, *without_annotation(folder, index)]
    missing = sorted(Path(problem.file).relative_to(top).with_suffix("").as_posix() for problem in counts.problems)
    crops = counts.written + counts.existing
    folder.write_problems(split, problems)
    record = {"frames": index.frame_count, "crops": crops, "left_out": count_problems(problems) | chosen}
    write_json(folder.record_file(split), record | {"missing_frames": missing})  # <folder>/<frame>
    frames = index.frame_count - len(missing)
    print(f"{split}: {crops:,} crops of {frames:,} frames, {counts.existing:,} of them from before")
    tell_problems(folder, split, problems, chosen)
    return crops > 0


def without_annotation(folder: OutputFolder, index: SplitIndex) -> list[Problem]:
    """A problem for each JPEG that has no XML file, and for each folder of them that has no annotations at all."""
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
    # A file name need not be UTF-8; lists and terminals want it.
    return [Problem(*(text.encode("utf-8", "backslashreplace").decode() for text in problem)) for problem in problems]


def _stems(folder: Path, suffix: str) -> set[str]:
    return {file.stem for file in folder.iterdir() if file.suffix == suffix}


def tell_disk(folder: OutputFolder, split: str, crops: int) -> None:
    """Warns when the disk looks too small for the crops that are still to be made."""
    need, free = crops * _BYTES_PER_CROP, shutil.disk_usage(folder.path).free
    if need > free and not folder.record_file(split).exists():
        print(
            f"warning: {split}: {crops:,} crops take about {need / 1e9:.0f} GB, unless many are there already; "
            f"{free / 1e9:.0f} GB are free below {folder.path}"
        )


def tell_problems(
    folder: OutputFolder, split: str, problems: Sequence[Problem], chosen: dict[str, int] | None = None
) -> None:
    """Prints what was left out: a line for each kind, and the first files of it; `chosen` is only counted."""
    kinds = count_problems(problems)
    for kind, number in (chosen or {}).items():
        print(f"{split}: left out as asked: {kind}: {number:,}")
    if not kinds:
        print(f"{split}: nothing {'else ' if chosen else ''}was left out")
        return
    print(f"{split}: left out, with the reason for each in {folder.problems_file(split)}:")
    for kind, number in kinds.items():
        print(f"  {kind}: {number:,}")
        for problem in [problem for problem in problems if problem.kind == kind][:_EXAMPLES]:
            print(f"    {problem}")
    print(f"{split}: when annotations have been mended, give --reindex; images are looked at again in any case")


def check_frames(root: Path, split: str) -> None:
    """Raises a UserError when there are no frames at all, before the annotations are read for minutes."""
    frames = root / "Data" / "VID" / split
    if not frames.is_dir():
        raise UserError(
            f"{frames}: no such folder; --root is the folder that holds Annotations/VID and Data/VID "
            f"(the command index reads annotations without frames)"
        )
