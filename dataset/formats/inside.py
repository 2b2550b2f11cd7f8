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
    root, known = os.path.realpath(folder), set()

    def refuse_outside(path: str, full: str) -> None:
        real = os.path.realpath(full)
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            what = f"{path!a} leads through a link to {real}, outside {folder}"
            raise UserError(f"{where}: {what}; replace the link by the files that it leads to")

    for path in paths:
        if fault := fault_of(path):
            raise UserError(f"{where}: the path {path!a} {fault}; it must be relative, and stay inside {folder}")
        parent = path.rpartition("/")[0]
        if parent not in known:
            refuse_outside(path, f"{root}/{parent}")
            known.add(parent)
        if os.path.islink(f"{root}/{path}"):  # noqa: PTH114 (a million of them)
            refuse_outside(path, f"{root}/{path}")
