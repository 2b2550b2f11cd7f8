"""All annotations of a split in one small file, parsed once. Reading it takes about a second.

The file is a NumPy archive (.npz) with the columns of `SplitIndex` and the version of this format. As a zip file, it
has a checksum of each column.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dataset.vid.annotations import Frame, Problem, Snippet, VideoObject
from dataset.vid.siamfc_crops import TRAIN_FOLDERS
from runtime.errors import UserError
from runtime.files import replace_file

FORMAT = 2
_MOST_BYTES = 2**31  # unpacked; the training split of ImageNet VID has 300 MB


@dataclass(frozen=True)
class SplitIndex:
    """The annotations of one split: S snippets, F frames, O objects.

    The frames of a snippet are consecutive, and so are the objects of a frame.

    Attributes:
        split: train or val.
        folders: (S,) path of each snippet below the split. All text in arrays is bytes, UTF-8.
        frames_in: (S,) number of frames in each snippet.
        names, sizes: (F,) and (F, 2), as in the annotation; a size is (width, height).
        objects_in: (F,) number of objects in each frame.
        trackids, categories, occluded, generated: (O,) each.
        boxes: (O, 4) xmin, ymin, xmax, ymax in pixels.
        problems: the skipped files and objects, with reasons.
        listed: a checksum over the folders that were read.
    """

    split: str
    folders: np.ndarray
    frames_in: np.ndarray
    names: np.ndarray
    sizes: np.ndarray
    objects_in: np.ndarray
    trackids: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    occluded: np.ndarray
    generated: np.ndarray
    problems: tuple[Problem, ...] = ()
    listed: int = 0

    @property
    def frame_count(self) -> int:
        return len(self.names)

    @property
    def snippet_of_frame(self) -> np.ndarray:
        """(F,) the snippet of each frame, as an index."""
        return np.repeat(np.arange(len(self.folders)), self.frames_in)

    @property
    def frame_of_object(self) -> np.ndarray:
        """(O,) the frame of each object, as an index."""
        return np.repeat(np.arange(self.frame_count), self.objects_in)

    @cached_property
    def _first_objects(self) -> np.ndarray:
        """(F + 1,): the objects of frame i are _first_objects[i] .. _first_objects[i + 1] - 1."""
        return np.append(0, np.cumsum(self.objects_in))

    def snippets(self) -> Iterator[Snippet]:
        """The snippets in the order of their folders. Each access to a frame makes it, without storing it."""
        start = 0
        for folder, count in zip(self.folders.tolist(), self.frames_in.tolist(), strict=True):
            yield Snippet(self.split, folder.decode(), _Frames(self, folder.decode(), range(start, start + count)))
            start += count

    def frames(self) -> Iterator[Frame]:
        """All frames, in order."""
        for snippet in self.snippets():
            yield from snippet.frames

    def frame(self, folder: str, number: int) -> Frame:
        """Frame `number` of the split, in the snippet `folder`."""
        part = slice(*self._first_objects[number : number + 2].tolist())
        columns = (self.trackids, self.categories, self.boxes, self.occluded, self.generated)
        objects = [
            VideoObject(trackid, category.decode(), x0, y0, x1, y1, occluded, generated)
            for trackid, category, (x0, y0, x1, y1), occluded, generated in zip(
                *(column[part].tolist() for column in columns), strict=True
            )
        ]
        width, height = self.sizes[number].tolist()
        return Frame(self.split, folder, self.names[number].decode(), width, height, tuple(objects))

    def select(self, frames: np.ndarray, objects: np.ndarray) -> "SplitIndex":
        """The index with only the frames and objects of two masks, (F,) and (O,) bool; empty snippets are dropped."""
        snippet_of, frame_of = self.snippet_of_frame, self.frame_of_object
        objects = objects & frames[frame_of]
        frames_in = np.bincount(snippet_of[frames], minlength=len(self.folders))
        return dataclasses.replace(
            self,
            folders=self.folders[frames_in > 0],
            frames_in=frames_in[frames_in > 0],
            names=self.names[frames],
            sizes=self.sizes[frames],
            objects_in=np.bincount(frame_of[objects], minlength=self.frame_count)[frames],
            **{name: getattr(self, name)[objects] for name in _OF_OBJECTS},
        )


_OF_OBJECTS = ("trackids", "categories", "boxes", "occluded", "generated")
_COLUMNS = ("folders", "frames_in", "names", "sizes", "objects_in", *_OF_OBJECTS)


class _Frames(Sequence[Frame]):
    """The frames of a snippet. Each access makes a new object."""

    def __init__(self, index: SplitIndex, folder: str, numbers: range) -> None:
        self._index, self._folder, self._numbers = index, folder, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: int) -> Frame:  # type: ignore[override]  # slices are not used
        return self._index.frame(self._folder, self._numbers[position])


def make_index(split: str, snippets: Sequence[Snippet], problems: Sequence[Problem]) -> SplitIndex:
    """The index of some snippets with all frames in memory."""
    frames = [frame for snippet in snippets for frame in snippet.frames]
    objects = [o for frame in frames for o in frame.objects]
    return SplitIndex(
        split=split,
        folders=_bytes(snippet.folder for snippet in snippets),
        frames_in=np.array([len(snippet.frames) for snippet in snippets], np.int64),
        names=_bytes(frame.name for frame in frames),
        sizes=np.array([(frame.width, frame.height) for frame in frames], np.int32).reshape(-1, 2),
        objects_in=np.array([len(frame.objects) for frame in frames], np.int64),
        trackids=np.array([o.trackid for o in objects], np.int64),
        categories=_bytes(o.category for o in objects),
        boxes=np.array([o.box for o in objects], np.float64).reshape(-1, 4),
        occluded=np.array([o.occluded for o in objects], bool),
        generated=np.array([o.generated for o in objects], bool),
        problems=tuple(problems),
    )


def join(parts: Sequence[SplitIndex]) -> SplitIndex:
    """One index of several parts of a split, in their order."""
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    problems = tuple(itertools.chain.from_iterable(part.problems for part in parts))
    return dataclasses.replace(parts[0], problems=problems, **columns)


def write_index(path: Path, index: SplitIndex) -> None:
    """Writes an index. Equal annotations give equal bytes."""
    columns = {name: getattr(index, name) for name in ("split", "listed", *_COLUMNS)}
    problems = _bytes(itertools.chain.from_iterable(index.problems)).reshape(-1, len(Problem._fields))
    with replace_file(path, "wb") as file:
        np.savez_compressed(file, format=FORMAT, problems=problems, **columns)


def read_index(path: Path) -> SplitIndex:
    """The index in a file.

    Raises:
        UserError: when the file is missing, damaged, or of another format.
    """
    try:
        with np.load(path) as file:
            if (size := sum(member.file_size for member in file.zip.infolist())) > _MOST_BYTES:
                raise ValueError(f"it unpacks to {size:,} bytes, more than {_MOST_BYTES:,}")
            if file.zip.testzip() or file["format"] != FORMAT:
                raise ValueError("a wrong checksum, or another format")
            problems = tuple(Problem(*(text.decode() for text in row)) for row in file["problems"].tolist())
            columns: dict[str, Any] = {name: file[name] for name in _COLUMNS}
            index = SplitIndex(split=str(file["split"]), listed=int(file["listed"]), problems=problems, **columns)
            _check(index)
            return index
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the command index or crop first") from None
    except Exception as error:  # damage raises errors of many kinds in zipfile, zlib and NumPy
        raise UserError(
            f"{path}: damaged, or of another version; run the command index or crop with --reindex"
        ) from error


def _check(index: SplitIndex) -> None:
    """Raises a ValueError unless the columns have their types and fit together, and names are those of files."""
    like, counts = make_index("", [], []), [len(index.folders), index.frame_count, len(index.trackids)]
    for name in _COLUMNS:
        column, wanted = getattr(index, name), getattr(like, name)
        rows = counts[2 if name in _OF_OBJECTS else 0 if name in ("folders", "frames_in") else 1]
        if column.dtype.kind != wanted.dtype.kind or column.shape != (rows, *wanted.shape[1:]):
            raise ValueError(f"{name} is {column.dtype} of shape {column.shape}")
    for numbers, total in ((index.frames_in, counts[1]), (index.objects_in, counts[2])):
        if (numbers < 0).any() or (numbers > total).any() or numbers.sum() != total:
            raise ValueError("its numbers of frames or objects contradict each other")
    parts = {*index.names.tolist(), *(part for folder in index.folders.tolist() for part in folder.split(b"/"))}
    if not all(part.decode().isprintable() and part not in (b"", b"..") and b"/" not in part for part in parts):
        raise ValueError("a name that leads outside its folder")
    depth = {"train": 1, "val": 0}[index.split]
    for folder in index.folders.tolist():
        first, *rest = folder.decode().split("/")
        if len(rest) != depth or (depth and first not in TRAIN_FOLDERS):
            raise ValueError(f"the folder {folder!r}")


def _bytes(texts: Iterable[str]) -> np.ndarray:
    return np.array([text.encode() for text in texts], np.bytes_)
