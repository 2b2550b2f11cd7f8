"""Reads all annotation files in a split of the unpacked archive, in several processes."""

import dataclasses
import functools
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dataset.vid.annotations import Frame, Problem, Snippet, VideoObject, parse_frame
from dataset.vid.index import SplitIndex, join, make_index
from dataset.vid.siamfc_crops import TRAIN_FOLDERS
from runtime.errors import UserError
from runtime.parallel import lots, run_parallel
from runtime.progress import Progress

_SNIPPETS_PER_TASK = 4


def index_split(root: Path, split: str, workers: int, show_progress: bool = False) -> SplitIndex:
    """The index of a split, made from all its annotation files.

    Frames, objects and snippets that cannot be used are skipped; each is in the index's list of problems. In addition
    to the problems found by `parse_frame`, these are: boxes outside their frame, objects with another category than
    their track has in most frames, snippets in unknown folders, and snippets with the name of an earlier one.

    Raises:
        UserError: when ROOT/Annotations/VID/<split> is not a folder, or has no usable annotation.
    """
    top = Path(root) / "Annotations" / "VID" / split
    folders, problems = _snippet_folders(top, split)
    listed = listing(root, split)  # before reading: files added meanwhile are noticed next time
    progress = Progress(f"{split}: read the annotations of", len(folders), "snippets")
    tasks = list(lots(folders, _SNIPPETS_PER_TASK))
    parts, done = [make_index(split, [], problems)], 0
    for lot, part in zip(tasks, run_parallel(functools.partial(_read_lot, top, split), tasks, workers), strict=True):
        parts.append(part)
        done += len(lot)
        if show_progress:
            progress(done)
    index = join(parts)
    if not index.frame_count:
        first = f"; the first problem: {index.problems[0]}" if index.problems else ""
        raise UserError(f"{top}: no usable .xml files in it{first}; check that the archive is completely unpacked")
    return dataclasses.replace(index, listed=listed)


def listing(root: Path, split: str) -> int:
    """A checksum over the snippet folders of a split and the number of files in each. It takes seconds."""
    top = Path(root) / "Annotations" / "VID" / split
    lines = []
    for folder in _snippet_folders(top, split)[0]:
        try:
            lines.append(f"{folder} {sum(1 for _ in (top / folder).iterdir())}")
        except OSError:
            lines.append(f"{folder} cannot be read")
    return zlib.crc32("\n".join(lines).encode())


def _snippet_folders(top: Path, split: str) -> tuple[list[str], list[Problem]]:
    """The sorted folders of snippets in a split, and problems with other folders."""
    if not top.is_dir():
        raise UserError(f"{top}: no such folder; --root must be the folder with Annotations/VID and Data/VID")
    problems: list[Problem] = []
    folders: list[str] = []
    for part in [""] if split == "val" else _folders(top, problems):
        if part and part not in TRAIN_FOLDERS:
            problems.append(Problem(str(top / part), "unknown folder", f"it is not one of {', '.join(TRAIN_FOLDERS)}"))
        else:
            folders += [f"{part}/{name}".lstrip("/") for name in _folders(top / part, problems)]
    first: dict[str, str] = {}  # folder of each name
    for folder in folders:
        name = folder.rpartition("/")[2]
        if first.setdefault(name, folder) != folder:
            problem = f"{first[name]} has the same name; identities are <snippet>/<trackid>"
            problems.append(Problem(str(top / folder), "a snippet's name twice", problem))
    return list(first.values()), problems


def _folders(folder: Path, problems: list[Problem]) -> list[str]:
    """The sorted names of the folders in a folder."""
    try:
        return _printable(folder, [entry.name for entry in folder.iterdir() if entry.is_dir()], problems)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _printable(folder: Path, names: list[str], problems: list[Problem]) -> list[str]:
    """The sorted names that are printable. Each of the others becomes a problem, with its name escaped."""
    for name in sorted(names):
        if not name.isprintable():
            file = f"{folder}/{ascii(name)[1:-1]}"
            problems.append(Problem(file, "unprintable name", "its name is not printable UTF-8 text"))
    return sorted(name for name in names if name.isprintable())


def _read_lot(top: Path, split: str, folders: Sequence[str]) -> SplitIndex:
    """The index of some snippets, made in a worker process. It consists of arrays, which are fast to transfer."""
    snippets: list[Snippet] = []
    problems: list[Problem] = []
    for folder in folders:
        if frames := _read_snippet(top / folder, split, folder, problems):
            snippets.append(Snippet(split, folder, frames))
    return make_index(split, snippets, problems)


def _read_snippet(path: Path, split: str, folder: str, problems: list[Problem]) -> list[Frame]:
    try:
        files = [file.name for file in path.iterdir() if file.name.endswith(".xml")]
    except OSError as error:
        problems.append(Problem(str(path), "folder cannot be read", f"cannot be read: {error.strerror or error}"))
        return []
    if not files:
        problems.append(Problem(str(path), "folder without annotations", "no .xml files in it"))
    frames = []
    for name in _printable(path, files, problems):
        frame, found = parse_frame(path / name, split, folder)
        problems += found
        if frame:
            frames.append(frame)
    return _usable(path, frames, problems)


def _usable(path: Path, frames: list[Frame], problems: list[Problem]) -> list[Frame]:
    """The frames of a snippet, without objects that contradict their frame or their track."""
    seen: dict[int, Counter[str]] = {}
    for frame in frames:
        for o in frame.objects:
            seen.setdefault(o.trackid, Counter())[o.category] += 1
    # The category of a track is the most frequent one: a single error must not exclude all other frames.
    category_of = {trackid: counts.most_common(1)[0][0] for trackid, counts in seen.items()}
    kept = []
    for frame in frames:
        objects = []
        for o in frame.objects:
            if problem := _unusable(frame, o, category_of[o.trackid]):
                problems.append(Problem(str(path / f"{frame.name}.xml"), *problem))
            else:
                objects.append(o)
        kept.append(dataclasses.replace(frame, objects=tuple(objects)))
    return kept


def _unusable(frame: Frame, o: VideoObject, category: str) -> tuple[str, str] | None:
    """Kind and problem of an object that contradicts its frame or its track, else None."""
    if o.xmax <= 0 or o.ymax <= 0 or o.xmin >= frame.width or o.ymin >= frame.height:
        box = f"x {o.xmin:g} to {o.xmax:g}, y {o.ymin:g} to {o.ymax:g}"
        where = f"a frame of {frame.width}x{frame.height}"
        return "box outside the image", f"trackid {o.trackid}: its box, {box}, is outside {where}"
    if o.category != category:
        return "trackid of another category", f"trackid {o.trackid} is {o.category} here, but mostly {category}"
    return None
