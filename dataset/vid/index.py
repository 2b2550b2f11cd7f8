"""All annotations of a split in one small file: parsed once, read in a second, a video at a time.

HDF5 with three tables, each row owning a range of rows of the next: snippets, frames, objects.

snippets/folder (S,)                    path below the split
snippets/first (S + 1,)                 snippet i owns the frames first[i] .. first[i + 1] - 1
frames/name, size (F, 2)                as in the annotation; size is (width, height)
frames/first (F + 1,)                   frame i owns the objects first[i] .. first[i + 1] - 1
objects/trackid, category (O,)          category is a position in `categories`
objects/box (O, 4)                      xmin, ymin, xmax, ymax in pixels
objects/occluded, generated (O,)
categories (C,)
problems/file, kind, problem            what was left out, and why

Attributes: format, split, and `listed`, a checksum over the folders that there were to read. Four bytes follow, the
CRC-32 of all before: the HDF5 library crashes on damaged files.
"""

import dataclasses
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from dataset.vid.annotations import Frame, Problem, Snippet, VideoObject
from runtime.errors import UserError
from runtime.files import replace_file

FORMAT = 1


@dataclass(frozen=True)
class SplitIndex:
    """The annotations of one split, as arrays; see above. Strings are arrays of bytes (UTF-8)."""

    split: str
    folders: np.ndarray
    snippet_first: np.ndarray
    names: np.ndarray
    sizes: np.ndarray
    frame_first: np.ndarray
    trackids: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    occluded: np.ndarray
    generated: np.ndarray
    category_names: tuple[str, ...]
    problems: tuple[Problem, ...]
    listed: int = 0

    @property
    def frame_count(self) -> int:
        return len(self.names)

    def snippets(self) -> Iterator[Snippet]:
        """The snippets in order of their folders. Frames are made when they are asked for, and not kept."""
        for number, folder in enumerate(self.folders.tolist()):
            name = folder.decode()
            start, stop = self.snippet_first[number : number + 2].tolist()
            yield Snippet(self.split, name, _Frames(self, name, start, stop))

    def frames(self) -> Iterator[Frame]:
        """All frames, in order."""
        for snippet in self.snippets():
            yield from snippet.frames

    def frame(self, folder: str, number: int) -> Frame:
        """Frame `number` of the split, of the snippet in `folder`."""
        start, stop = self.frame_first[number : number + 2].tolist()
        part = slice(start, stop)
        columns = (self.trackids, self.categories, self.occluded, self.generated)
        rows = zip(*(column[part].tolist() for column in columns), self.boxes[part].tolist(), strict=True)
        objects = tuple(
            VideoObject(trackid, self.category_names[category], *box, occluded, generated)
            for trackid, category, occluded, generated, box in rows
        )
        return Frame(self.split, folder, self.names[number].decode(), *self.sizes[number].tolist(), objects)

    def select(self, frames: np.ndarray, objects: np.ndarray) -> "SplitIndex":
        """Only the frames and objects of two masks, (F,) and (O,) bool; snippets without frames go as well."""
        objects = objects & np.repeat(frames, np.diff(self.frame_first))
        kept = np.diff(_running(objects)[self.frame_first])[frames]  # objects of every frame that stays
        per_snippet = np.diff(_running(frames)[self.snippet_first])
        return dataclasses.replace(
            self,
            folders=self.folders[per_snippet > 0],
            snippet_first=_offsets(per_snippet[per_snippet > 0]),
            names=self.names[frames],
            sizes=self.sizes[frames],
            frame_first=_offsets(kept),
            trackids=self.trackids[objects],
            categories=self.categories[objects],
            boxes=self.boxes[objects],
            occluded=self.occluded[objects],
            generated=self.generated[objects],
        )


class _Frames(Sequence):
    """The frames of a snippet, each made anew when it is asked for."""

    def __init__(self, index: SplitIndex, folder: str, start: int, stop: int) -> None:
        self._index, self._folder, self._start, self._stop = index, folder, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, position: int) -> Frame:
        if not 0 <= position < len(self):
            raise IndexError(position)
        return self._index.frame(self._folder, self._start + position)


def _running(mask: np.ndarray) -> np.ndarray:
    """Number of True before each position, and in all: (N,) -> (N + 1,)."""
    return _offsets(mask.astype(np.int64))


def _offsets(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64), dtype=np.int64)])


def make_index(split: str, snippets: Sequence[Snippet], problems: Sequence[Problem]) -> SplitIndex:
    """Turns snippets, whose frames are in memory, into columns."""
    frames = [frame for snippet in snippets for frame in snippet.frames]
    objects = [o for frame in frames for o in frame.objects]
    category_names = tuple(sorted({o.category for o in objects}))
    code = {name: number for number, name in enumerate(category_names)}
    return SplitIndex(
        split=split,
        folders=_bytes([snippet.folder for snippet in snippets]),
        snippet_first=_offsets([len(snippet.frames) for snippet in snippets]),
        names=_bytes([frame.name for frame in frames]),
        sizes=np.array([(frame.width, frame.height) for frame in frames], np.int32).reshape(-1, 2),
        frame_first=_offsets([len(frame.objects) for frame in frames]),
        trackids=np.array([o.trackid for o in objects], np.int64),
        categories=np.array([code[o.category] for o in objects], np.int32),
        boxes=np.array([o.box for o in objects], np.float64).reshape(-1, 4),
        occluded=np.array([o.occluded for o in objects], bool),
        generated=np.array([o.generated for o in objects], bool),
        category_names=category_names,
        problems=tuple(problems),
    )


def join(parts: Sequence[SplitIndex]) -> SplitIndex:
    """Puts the indices of several lots of snippets of one split behind each other."""
    category_names = tuple(sorted({name for part in parts for name in part.category_names}))
    codes = [np.array([category_names.index(n) for n in part.category_names], np.int32) for part in parts]

    def joined(field: str) -> np.ndarray:
        return np.concatenate([getattr(part, field) for part in parts])

    return SplitIndex(
        split=parts[0].split,
        snippet_first=_offsets(np.concatenate([np.diff(part.snippet_first) for part in parts])),
        frame_first=_offsets(np.concatenate([np.diff(part.frame_first) for part in parts])),
        categories=np.concatenate([code[part.categories] for code, part in zip(codes, parts, strict=True)]),
        category_names=category_names,
        problems=tuple(problem for part in parts for problem in part.problems),
        **{f: joined(f) for f in ("folders", "names", "sizes", "trackids", "boxes", "occluded", "generated")},
    )


# The dataset of each array field in the file.
_DATASETS = {
    "folders": "snippets/folder",
    "snippet_first": "snippets/first",
    "names": "frames/name",
    "sizes": "frames/size",
    "frame_first": "frames/first",
    "trackids": "objects/trackid",
    "categories": "objects/category",
    "boxes": "objects/box",
    "occluded": "objects/occluded",
    "generated": "objects/generated",
}


def write_index(path: Path, index: SplitIndex) -> None:
    """Writes an index; equal annotations give equal bytes."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as h5:
        h5.attrs["format"], h5.attrs["split"], h5.attrs["listed"] = FORMAT, index.split, index.listed
        for field, name in _DATASETS.items():
            _write(h5, name, getattr(index, field))
        _write(h5, "categories", _bytes(index.category_names))
        for field in Problem._fields:
            _write(h5, f"problems/{field}", _bytes([getattr(problem, field) for problem in index.problems]))
    data = memory.getvalue()
    with replace_file(path, "wb") as file:
        file.write(data + _checksum(data))


def _write(h5: h5py.File, name: str, values: np.ndarray) -> None:
    # An empty dataset cannot be compressed; track_times would make equal files differ.
    options = {"compression": "gzip", "shuffle": True} if len(values) else {}
    h5.create_dataset(name, data=values, track_times=False, **options)


def read_index(path: Path) -> SplitIndex:
    """Reads an index.

    Raises:
        UserError: when the file is missing, damaged, or of another format.
    """
    try:
        data = Path(path).read_bytes()
        if data[-4:] != _checksum(data[:-4]):
            raise UserError(f"{path}: damaged, or no index of annotations; make it anew with --reindex")
        with h5py.File(io.BytesIO(data), "r") as h5:
            if h5.attrs.get("format") != FORMAT:
                raise UserError(f"{path}: not an index of annotations that this version reads; make it with --reindex")
            fields = {field: h5[name][()] for field, name in _DATASETS.items()}
            columns = [_text(h5[f"problems/{field}"][()]) for field in Problem._fields]
            return SplitIndex(
                split=str(h5.attrs["split"]),
                listed=int(h5.attrs["listed"]),
                category_names=tuple(_text(h5["categories"][()])),
                problems=tuple(Problem(*row) for row in zip(*columns, strict=True)),
                **fields,
            )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the commands index and crop make it") from None
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); make it anew with --reindex") from error


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def _bytes(texts: Sequence[str]) -> np.ndarray:
    # "surrogateescape": a file name need not be UTF-8.
    return np.array([text.encode(errors="surrogateescape") for text in texts], dtype=np.bytes_)


def _text(values: np.ndarray) -> list[str]:
    return [value.decode(errors="surrogateescape") for value in values.tolist()]
