"""Images packed into few large files, for disks where opening a file is slow.

images.pack/images-00000-of-00002.tfrecord   the image files, one a record, as they are
images.pack/index.npz                        where each image is, written last

A packed image keeps its path: `DATA/images.pack/a/1.jpg` is the record of `a/1.jpg`. Any image can be read at once, by
one read at its offset.
"""

import functools
import os
import threading
import zipfile
import zlib
from pathlib import Path

import numpy as np

from runtime.errors import UserError

FOLDER = "images.pack"
INDEX = "index.npz"
_INSIDE = f"/{FOLDER}/"
_LOCK = threading.Lock()
_AGAIN = "pack the data set again (python -m dataset.pack)"
COLUMNS = {"paths": "U", "shards": "u4", "offsets": "i8", "lengths": "i8", "checksums": "u4", "orientations": "u1"}


class Pack:
    """The packed images of a data set. Threads may read at the same time.

    Attributes:
        folder: .../images.pack
        orientations: (N,) uint8, EXIF orientation of each image.
    """

    def __init__(self, folder: Path) -> None:
        """Raises a UserError when the index or a shard is missing or damaged, or a shard has another length."""
        self.folder, index = folder, folder / INDEX
        try:
            with np.load(index, allow_pickle=False) as file:
                columns, sizes = {name: file[name] for name in COLUMNS}, file["sizes"]
        except FileNotFoundError:
            raise UserError(f"{index}: no such file, so these packed images cannot be read; {_AGAIN}") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{index}: damaged ({type(error).__name__}); {_AGAIN}") from error
        self._paths = {path: place for place, path in enumerate(columns["paths"].tolist())}
        self._shards, self._checksums = columns["shards"], columns["checksums"]
        self._offsets, self._lengths = columns["offsets"], columns["lengths"]
        self.orientations = columns["orientations"]
        self._files = [folder / shard_name(number, len(sizes)) for number in range(len(sizes))]
        for file, size in zip(self._files, sizes.tolist(), strict=True):
            found = file.stat().st_size if file.is_file() else None
            if found != size:
                what = (
                    "no such file" if found is None else f"it has {found} bytes instead of {size}: truncated or changed"
                )
                raise UserError(f"{file}: {what}; {_AGAIN}")
        self._open = functools.cache(lambda shard: os.open(self._files[shard], os.O_RDONLY | os.O_CLOEXEC))

    def place(self, path: str) -> int:
        """The position of an image in the index. Raises a UserError for one that was not packed."""
        place = self._paths.get(path)
        if place is None:
            raise UserError(f"{self.folder}: it has no image {path!a}, so the lists were changed since; {_AGAIN}")
        return place

    def read(self, path: str) -> bytes:
        """The bytes of an image file.

        Raises:
            UserError: for an image that was not packed, or whose bytes have changed.
        """
        place = self.place(path)
        shard, length = int(self._shards[place]), int(self._lengths[place])
        data = os.pread(self._open(shard), length, int(self._offsets[place]))
        if len(data) != length or zlib.crc32(data) != self._checksums[place]:
            raise UserError(f"{self._files[shard]}: the bytes of {path!a} are damaged; {_AGAIN}")
        return data


@functools.cache
def _open_pack(folder: str) -> Pack:
    return Pack(Path(folder))


def open_pack(folder: str) -> Pack:
    """The pack in a folder, opened once in a process: an index of a million images takes much memory."""
    with _LOCK:
        return _open_pack(folder)


def find_packed(file: str | Path) -> tuple[Pack, str] | None:
    """The pack that a file is in, and its path there; None for a file of its own."""
    before, inside, path = str(file).rpartition(_INSIDE)
    return (open_pack(f"{before}/{FOLDER}"), path) if inside else None


def read_image(file: str | Path) -> bytes:
    """The bytes of an image file, packed or not. Raises an OSError, or for a packed one a UserError."""
    found = find_packed(file)
    return found[0].read(found[1]) if found else Path(file).read_bytes()


def shard_name(number: int, count: int) -> str:
    """The name of a file of packed images."""
    return f"images-{number:05}-of-{count:05}.tfrecord"
