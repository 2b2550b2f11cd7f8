"""Images in the folders of a data set, or in the archives beside them that its authors gave out."""

import io
from collections.abc import Iterator
from pathlib import Path

from dataset.formats.writing import copy_images
from dataset.sources.box_crops import image_size
from dataset.sources.image_archives import (
    ENDINGS,
    extract_images,
    find_archive,
    look_at_images,
    read_images,
    refuse_missing,
)
from dataset.sources.image_check import find_problems
from runtime.errors import UserError


def present(root: Path, folders: tuple[str, ...]) -> set[str]:
    """Which of the folders are in `root`, as folders or as archives."""
    return {name for name in folders if (root / name).is_dir() or find_archive(root, name)}


class StoredImages:
    """The images below `root`, in folders that are there or in archives; a path starts with its folder.

    Attributes:
        root: where the paths start.
        archives: folder -> the archive that it is read from; folders that are there are not in it.
    """

    def __init__(self, root: Path, folders: set[str]) -> None:
        """Raises a `UserError` when one of the `folders` is neither there nor in an archive."""
        self.root = root
        self.archives = {folder: find_archive(root, folder) for folder in folders if not (root / folder).is_dir()}
        for folder, archive in self.archives.items():
            if archive is None:
                forms = ", ".join(f"{folder}{end}" for end in ENDINGS)
                raise UserError(f"--root {root}: there is no folder {folder} in it, and no archive of it ({forms})")

    def split(self, paths: list[str]) -> tuple[list[str], dict[Path, set[str]]]:
        """The paths that are files, and those of every archive."""
        archived: dict[Path, set[str]] = {archive: set() for archive in self.archives.values() if archive}
        files: list[str] = []
        for path in paths:
            archive = self.archives.get(path.split("/")[0])
            if archive:
                archived[archive].add(path)
            else:
                files.append(path)
        return files, archived

    def look_at(self, paths: list[str], check: str, crop: bool) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
        """Problems of images by path, and, if they are to be cropped, the (W, H) of the others."""
        files, archived = self.split(paths)
        problems, sizes = find_problems(self.root, files, check), {}
        for archive, wanted in archived.items():
            if check != "off" or crop:
                more = look_at_images(archive, wanted, check == "full")
                problems, sizes = problems | more[0], sizes | more[1]
        if crop:
            sizes |= {path: image_size(self.root / path) for path in files if path not in problems}
        return problems, sizes

    def contents(self, paths: list[str]) -> Iterator[tuple[str, Path | io.BytesIO]]:
        """Each image once, with its file or its content."""
        files, archived = self.split(paths)
        for path in files:
            yield path, self.root / path
        for archive, wanted in archived.items():
            found = set()
            for path, data in read_images(archive, wanted):
                found.add(path)
                yield path, io.BytesIO(data)
            refuse_missing(archive, wanted, found)

    def write(self, folder: Path, paths: list[str]) -> int:
        """Copies or extracts images into `folder`, where they are not there yet; the number of those extracted."""
        files, archived = self.split(paths)
        copy_images(self.root, folder, files)
        return sum(extract_images(archive, folder, wanted) for archive, wanted in archived.items())
