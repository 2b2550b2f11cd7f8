"""Images in the folders of a data set, or in its official tar archives.

Names inside an archive are only compared with the wanted ones, never used to write a file. So nothing is written
outside the folder for the images, whatever the archive contains (absolute names, `..`, links).
"""

import gzip
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from PIL import Image

from dataset.formats.writing import copy_images, write_image
from dataset.loading.inspection import inspect_files
from dataset.sources.image_check import find_problems
from runtime.counting import counted
from runtime.errors import UserError
from runtime.input_files import check_file, size_of
from runtime.progress import Progress

ENDINGS = (".tgz", ".tar.gz", ".tar")
_BLOCK = 1 << 20  # bytes
MEMBER_BYTES = 2**28  # of one image
_AT_MOST = f"at most {size_of(MEMBER_BYTES)} are read"
_FREE_BYTES, _MOST_TIMES = 2**30, 100  # an archive may unpack to this, and this many times its own size


def find_archive(root: Path, folder: str) -> Path | None:
    """The archive of a folder, found in `root` like the folder itself; None if there is none."""
    return next((root / f"{folder}{end}" for end in ENDINGS if (root / f"{folder}{end}").is_file()), None)


class StoredImages:
    """The images below `root`, in folders or in archives. A path starts with the name of its folder.

    Attributes:
        root: the folder that the paths start from.
        archives: folder -> its archive, for folders that are not unpacked.
    """

    def __init__(self, root: Path, folders: set[str]) -> None:
        """Finds the `folders`. Raises a `UserError` if one is missing and has no archive."""
        self.root = root
        self.archives: dict[str, Path] = {}
        for folder in sorted(folders):
            if (root / folder).is_dir():
                continue
            archive = find_archive(root, folder)
            if archive is None:
                forms = ", ".join(f"{folder}{end}" for end in ENDINGS)
                raise UserError(f"--root {root}: there is neither a folder {folder} nor an archive of it ({forms})")
            self.archives[folder] = archive

    def _split(self, paths: list[str]) -> tuple[list[str], dict[Path, set[str]]]:
        """The paths of files, and the paths in each archive."""
        archived: dict[Path, set[str]] = {archive: set() for archive in self.archives.values()}
        files: list[str] = []
        for path in paths:
            archive = self.archives.get(path.split("/")[0])
            if archive:
                archived[archive].add(path)
            else:
                files.append(path)
        return files, archived

    def look_at(self, paths: list[str], check: str, crop: bool) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
        """Problems of images by path; with `crop` also the (W, H) of the other images by path."""
        files, archived = self._split(paths)
        problems = find_problems(self.root, files, check)
        sizes: dict[str, tuple[int, int]] = {}
        for archive, wanted in archived.items():
            if check != "off" or crop:
                more = _look_at_archive(archive, wanted, check == "full")
                problems, sizes = problems | more[0], sizes | more[1]
        for path in files if crop else ():
            if path not in problems:
                sizes[path] = _size(self.root / path)
        return problems, sizes

    def write(self, folder: Path, paths: list[str]) -> int:
        """Copies or extracts images that `folder` lacks. Returns the number of extracted ones."""
        files, archived = self._split(paths)
        copy_images(self.root, folder, files)
        written = 0
        for archive, wanted in archived.items():
            progress = Progress("extracted", len(wanted), "images")
            missing = set(wanted)
            for path, data in _read(archive, wanted):
                written += write_image(folder / path, data)
                missing.discard(path)
                progress(len(wanted) - len(missing))
            if missing:
                what = f"{len(missing)} of {counted(len(wanted), 'image')} are not in it, the first: {min(missing)}"
                remedy = "download it again, or skip them with --skip_broken and --check headers"
                raise UserError(f"{archive}: {what}; {remedy}")
        return written


def _size(file: Path) -> tuple[int, int]:
    """(W, H) of an image. Raises a `UserError` if its header cannot be read."""
    try:
        with Image.open(file, formats=("JPEG", "PNG")) as image:
            return image.size
    except Exception as error:  # damaged headers raise errors of many kinds
        raise UserError(f"{file}: cannot be read ({error or type(error).__name__}); replace it") from error


def _read(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Yields (path, content) of the wanted images in the archive, in its order.

    Raises:
        UserError: when the file is damaged or not a tar archive.
    """
    check_file(archive)
    size = archive.stat().st_size
    try:
        with _unpacked(archive) as stream:
            bounded: Any = _Bounded(stream, size)
            tar = tarfile.TarFile(fileobj=bounded)
            for member in tar:
                path = member.name.removeprefix("./")
                if path in wanted and (file := tar.extractfile(member) if member.isfile() else None):
                    if member.size > MEMBER_BYTES:  # a sparse file takes no space in the archive
                        raise tarfile.ReadError(f"{path} has {size_of(member.size)}; {_AT_MOST}")
                    yield path, file.read()
                tar.members = []  # type: ignore[attr-defined]  # else it keeps all of them
            while bounded.read(_BLOCK):  # read to the end, where gzip has its checksum
                pass
    except Exception as error:  # damage raises errors of many kinds in tarfile and zlib
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(f"{archive}: not a readable tar archive ({reason}); download it again") from error


def _unpacked(archive: Path) -> IO[bytes]:
    """The archive as an uncompressed stream."""
    with open(archive, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(archive) if packed else open(archive, "rb")  # type: ignore[return-value]


class _Bounded:
    """An unpacked archive as a stream. It ends with an error where the content exceeds what archives of images have."""

    def __init__(self, stream: IO[bytes], packed: int) -> None:
        """`packed` is the size of the archive in bytes."""
        self._stream, self._most = stream, _FREE_BYTES + _MOST_TIMES * packed
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if size > MEMBER_BYTES:
            raise tarfile.ReadError(f"a member of {size_of(size)}; {_AT_MOST}")
        self._check(self.tell() + size)
        return self._stream.read(size)

    def seek(self, place: int) -> int:
        self._check(place)
        return self._stream.seek(place)

    def _check(self, place: int) -> None:
        if place > self._most + _BLOCK:
            raise tarfile.ReadError(f"it unpacks to more than {size_of(self._most)}")


def _look_at_archive(archive: Path, wanted: set[str], full: bool) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """Problems of the wanted images by path, and the (W, H) of the others by path. `full` decodes every image."""
    problems, sizes = {}, {}
    progress = Progress("checked", len(wanted), f"images of {archive.name}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "image"
        for done, (path, data) in enumerate(_read(archive, wanted), start=1):
            copy.write_bytes(data)
            if found := inspect_files([str(copy)], "full" if full else "headers").problems:
                problems[path] = found[0]
            else:
                sizes[path] = _size(copy)
            copy.unlink()  # some file systems flush a replaced file to disk, which is slow
            progress(min(done, len(wanted) - 1))
        progress(len(wanted))
    for path in sorted(wanted - problems.keys() - sizes.keys()):
        problems[path] = f"not in {archive.name}"
    return problems, sizes
