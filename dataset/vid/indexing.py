"""Reading all annotation files of a split: a video at a time, in several processes, each fault counted."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dataset.errors import UserError
from dataset.parallel import run_parallel
from dataset.vid.annotations import AnnotationError, Frame, Problem, Snippet, VideoObject, parse_frame
from dataset.vid.crops import TRAIN_FOLDERS
from dataset.vid.index import SplitIndex, join, make_index

_SNIPPETS_PER_TASK = 4


@dataclass(frozen=True)
class _Lot:
    """Some snippets to read: folders below Annotations/VID/<split>."""

    top: Path
    split: str
    folders: tuple[str, ...]


def index_split(root: Path, split: str, workers: int, progress: Callable[[int, int], None] | None = None) -> SplitIndex:
    """Parses every annotation file of a split.

    A file that cannot be used costs its frame, an object that cannot be used only itself; each is among the index's
    problems. Beside what `parse_frame` finds: objects whose box lies outside their frame, track ids that another
    category had earlier in the snippet, snippets outside the folders that the crops' names are made for, and snippets
    of a name that an earlier one has.

    Args:
        progress: called now and then with (snippets done, snippets in all).

    Raises:
        UserError: when ROOT/Annotations/VID/<split> is no folder, or has no usable annotation.
    """
    top = Path(root) / "Annotations" / "VID" / split
    folders, problems = _snippet_folders(top, split)
    lots = [_Lot(top, split, lot) for lot in _lots(folders)]
    parts, done = [make_index(split, [], problems)], 0
    if progress and folders:
        progress(0, len(folders))  # the clock starts
    for lot, part in zip(lots, run_parallel(_read_lot, lots, workers), strict=True):
        parts.append(part)
        done += len(lot.folders)
        if progress:
            progress(done, len(folders))
    index = join(parts)
    if not index.frame_count:
        first = f"; the first problem: {index.problems[0].file}: {index.problems[0].problem}" if index.problems else ""
        raise UserError(f"{top}: no usable .xml files in it{first}")
    return dataclasses.replace(index, listed=len(folders))


def listed_snippets(root: Path, split: str) -> int:
    """How many snippet folders of a split there are to read, counted in a moment."""
    return len(_snippet_folders(Path(root) / "Annotations" / "VID" / split, split)[0])


def _lots(folders: list[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(folders)
    while lot := tuple(islice(rest, _SNIPPETS_PER_TASK)):
        yield lot


def _snippet_folders(top: Path, split: str) -> tuple[list[str], list[Problem]]:
    """The folders of snippets below a split, sorted, and what is not where a snippet can be."""
    if not top.is_dir():
        raise UserError(f"{top}: no such folder; --root is the folder that holds Annotations/VID and Data/VID")
    problems, found = [], []
    parts = [""] if split == "val" else _printable(top, _folders(top), problems)
    for part in parts:
        if part and part not in TRAIN_FOLDERS:
            problems.append(Problem(str(top / part), "unknown folder", f"it is not one of {', '.join(TRAIN_FOLDERS)}"))
            continue
        found += [f"{part}/{name}".lstrip("/") for name in _printable(top / part, _folders(top / part), problems)]
    named: dict[str, str] = {}
    kept = []
    for folder in found:
        name = folder.rpartition("/")[2]
        if named.setdefault(name, folder) == folder:
            kept.append(folder)
        else:
            problem = f"{named[name]} has that name too; identities are <snippet>/<trackid>"
            problems.append(Problem(str(top / folder), "a snippet's name twice", problem))
    return kept, problems


def _printable(folder: Path, names: list[str], problems: list[Problem]) -> list[str]:
    """The names that lists and messages can show; the others become problems, escaped."""
    problems += [
        Problem(f"{folder}/{ascii(name)[1:-1]}", "unprintable name", "its name is not printable UTF-8 text")
        for name in names
        if not name.isprintable()
    ]
    return [name for name in names if name.isprintable()]


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _read_lot(lot: _Lot) -> SplitIndex:
    """Reads some snippets, in a worker process; what comes back is arrays, which are quick to hand over."""
    snippets, problems = [], []
    for folder in lot.folders:
        snippet, found = _read_snippet(lot.top / folder, lot.split, folder)
        problems += found
        if snippet.frames:
            snippets.append(snippet)
    return make_index(lot.split, snippets, problems)


def _read_snippet(path: Path, split: str, folder: str) -> tuple[Snippet, list[Problem]]:
    problems: list[Problem] = []
    frames: list[Frame] = []
    category_of: dict[int, str] = {}
    files = sorted(entry.name for entry in _entries(path) if entry.name.endswith(".xml"))
    if not files:
        problems.append(Problem(str(path), "folder without annotations", "no .xml files in it"))
    for name in _printable(path, files, problems):
        try:
            frame, errors = parse_frame(path / name, split, folder)
        except AnnotationError as error:
            problems.append(error.as_problem())
            continue
        problems += [error.as_problem() for error in errors]
        objects = []
        for o in frame.objects:
            if problem := _unusable(frame, o, category_of.setdefault(o.trackid, o.category)):
                problems.append(Problem(str(path / name), *problem))
            else:
                objects.append(o)
        frames.append(Frame(split, folder, frame.name, frame.width, frame.height, tuple(objects)))
    return Snippet(split, folder, frames), problems


def _unusable(frame: Frame, o: VideoObject, category: str) -> tuple[str, str] | None:
    """What makes an object unusable beside its own frame or snippet: kind and problem."""
    if o.xmax <= 0 or o.ymax <= 0 or o.xmin >= frame.width or o.ymin >= frame.height:
        box = f"x {o.xmin:g} to {o.xmax:g}, y {o.ymin:g} to {o.ymax:g}"
        where = f"a frame of {frame.width}x{frame.height}"
        return "box outside the image", f"trackid {o.trackid}: its box, {box}, lies outside {where}"
    if o.category != category:
        return "trackid of another category", f"trackid {o.trackid} is {o.category} here, {category} before"
    return None
