"""Images in the folders of a data set, or in its official tar archives.

Names inside an archive are only compared with the wanted ones, never used to write a file. So nothing is written
outside the folder for the images, whatever the archive contains (absolute names, `..`, links).
"""

import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from dataset.formats.writing import copy_images, write_image
from dataset.loading.inspection import inspect_files
from dataset.sources.image_check import find_problems
from runtime.counting import counted
from runtime.errors import UserError
from runtime.progress import Progress

ENDINGS = (".tgz", ".tar.gz", ".tar")
_BLOCK = 1 << 20  # bytes


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
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = member.name.removeprefix("./")
                if path in wanted and (file := tar.extractfile(member) if member.isfile() else None):
                    yield path, file.read()
                tar.members = []  # type: ignore[attr-defined]  # else it keeps all of them
            while tar.fileobj.read(_BLOCK):  # read to the end, where gzip has its checksum
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(f"{archive}: not a readable tar archive ({reason}); download it again") from error


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
