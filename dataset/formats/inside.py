"""The one check of the paths in lists and archives: none leads out of its folder, when reading or writing."""

import os
from collections.abc import Iterable
from pathlib import Path

from runtime.errors import UserError


def fault_of(path: str) -> str | None:
    """Why a path cannot be below a folder, in words; None if it can. Backslashes count as slashes."""
    parts = path.replace("\\", "/").split("/")
    if "\0" in path:
        return "has a null character"
    if not parts[0] or path[1:3] in (":/", ":\\"):
        return "is an absolute path" if path else "is empty"
    return "leads outside its folder (..)" if ".." in parts else None


def check_inside(folder: Path, paths: Iterable[str], where: object) -> None:
    """Checks that relative paths stay inside a folder, also after links are followed. Nothing needs to exist.

    Args:
        folder: it may be a link itself.
        where: the list, archive or option that the paths come from; the message starts with it.

    Raises:
        UserError: naming the first path that leads outside.
    """
    root = os.path.realpath(folder)
    links: dict[str, set[str]] = {}  # of each folder: names of links in it

    def refuse_outside(path: str, full: str) -> None:
        real = os.path.realpath(full)
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            what = f"{path!a} leads through a link to {real}, outside {folder}"
            raise UserError(f"{where}: {what}; replace the link by the files that it leads to")

    for path in paths:
        if fault := fault_of(path):
            raise UserError(f"{where}: the path {path!a} {fault}; it must be relative, and stay inside {folder}")
        parent, _, name = path.rpartition("/")
        if parent not in links:
            refuse_outside(path, f"{root}/{parent}")
            links[parent] = _links_in(f"{root}/{parent}")
        if name in links[parent]:
            refuse_outside(path, f"{root}/{path}")


def _links_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
    except OSError:  # it does not exist, or is a file
        return set()
