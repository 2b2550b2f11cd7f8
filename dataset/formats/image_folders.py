"""Image files found in folders: all of them, or those that match a pattern."""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from runtime.errors import UserError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png")


def is_image(name: str) -> bool:
    """Whether a name has the ending of a JPEG or PNG file, in lower or upper case."""
    return name.lower().endswith(IMAGE_EXTENSIONS)


def walk_folders(root: Path, depth: int | None = None) -> Iterator[tuple[str, list[str]]]:
    """Yields `root` and the folders below it, each with the names of its files.

    Hidden files and folders and `__MACOSX` are skipped. Links to folders are followed, but no folder is visited twice.

    Args:
        root: the first folder.
        depth: how many levels below `root` to visit; None: all.

    Yields:
        (path relative to `root`, "" for `root` itself; sorted file names).

    Raises:
        UserError: for a folder that cannot be read, or an image whose name is not UTF-8.
    """

    def refuse(error: OSError) -> None:  # by default os.walk silently skips what it cannot read
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}")

    visited = set()
    for folder, children, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        relative = "" if folder == str(root) else Path(folder).relative_to(root).as_posix()
        if real in visited:
            children.clear()
            continue
        visited.add(real)
        if depth is not None and len(Path(relative).parts) >= depth:
            children.clear()
        children[:] = sorted(c for c in children if not c.startswith(".") and c != "__MACOSX")
        names = sorted(f for f in files if not f.startswith("."))
        for path in (_join(relative, name) for name in names if is_image(name)):
            try:
                path.encode()
            except UnicodeEncodeError:
                raise UserError(f"{root}: the name {path!a} is not UTF-8; rename it") from None
        yield relative, names


def images_in(folder: Path) -> list[str]:
    """The paths of all images below a folder, relative to it, sorted character by character.

    Raises:
        UserError: as `walk_folders`, and when there is no image.
    """
    paths = sorted(_join(inner, name) for inner, names in walk_folders(folder) for name in names if is_image(name))
    if not paths:
        raise UserError(f"{folder}: no image in this folder or below; a name must end in {', '.join(IMAGE_EXTENSIONS)}")
    return paths


def images_like(pattern: str, root: Path) -> list[str]:
    """The paths of the images that match a pattern, sorted character by character.

    Args:
        pattern: a path with the shell wildcards `*`, `?` and `[...]`; `**` matches any number of folders.
        root: the folder that a relative pattern and the paths start from.

    Raises:
        UserError: as `walk_folders`, and when no image matches.
    """
    parts = pattern.split("/")
    fixed = next(index for index, part in enumerate(parts) if has_wildcard(part))
    base, wild = "/".join(parts[:fixed]), [part for part in parts[fixed:] if part]
    start = root / (base or ("/" if pattern.startswith("/") else ""))
    if not start.is_dir():
        raise UserError(f"{pattern}: there is no folder {start}; correct the pattern")
    depth = None if "**" in wild else len(wild) - 1
    found = [_join(inner, name) for inner, names in walk_folders(start, depth) for name in names if is_image(name)]
    paths = sorted(path for path in found if _matches(path.split("/"), wild))
    if not paths:
        raise UserError(f"{pattern}: it matches no image whose name ends in {', '.join(IMAGE_EXTENSIONS)}")
    return [f"{base}/{path}" if fixed else path for path in paths]


def has_wildcard(text: str) -> bool:
    """Whether a text contains a wildcard."""
    return any(wildcard in text for wildcard in "*?[")


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _matches(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
