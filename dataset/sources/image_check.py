"""Checks of the images in a data set's lists, before anything is written."""

from pathlib import Path

from dataset.formats.manifest import Tables
from dataset.loading.inspection import inspect_files
from runtime.counting import counted
from runtime.errors import UserError
from runtime.progress import Progress

_NAMED = 10  # how many files an error lists
_AT_ONCE = 20_000  # files per batch of checks: not all full names are in memory at once


def find_problems(root: Path, paths: list[str], check: str) -> dict[str, str]:
    """Path of a missing or broken image -> what is wrong with it.

    Args:
        root: the folder that the paths start from.
        check: `headers`, `full` or `off`, as `inspect_files`.
    """
    progress = Progress("checked", len(paths), "images") if len(paths) > _AT_ONCE and check != "off" else None
    problems: dict[str, str] = {}
    for start in range(0, len(paths), _AT_ONCE):
        part = paths[start : start + _AT_ONCE]
        found = inspect_files([f"{root}/{path}" for path in part], check).problems
        problems |= {part[index]: problem for index, problem in sorted(found.items())}
        if progress:
            progress(start + len(part))
    return problems


def leave_out(root: Path, tables: Tables, problems: dict[str, str], skip: bool) -> Tables:
    """The tables without the images that have a problem.

    Raises:
        UserError: naming the first bad images, unless `skip`; and when a table would be empty.
    """
    if not problems:
        return tables
    images = len({row[1] for rows in tables.values() for row in rows})
    if len(problems) == images:
        path, problem = next(iter(problems.items()))
        what = f"no image can be used; the first of {images:,}: {path}: {problem}"
        raise UserError(f"{root}: {what}; check that the paths start in this folder")
    if not skip:
        names = "; ".join(f"{path}: {problem}" for path, problem in list(problems.items())[:_NAMED])
        more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        remedy = "replace or remove them, or skip them with --skip_broken"
        raise UserError(f"{root}: {len(problems)} of {counted(images, 'image')} are broken ({remedy}): {names}{more}")
    kept = {name: [row for row in rows if row[1] not in problems] for name, rows in tables.items()}
    for name, rows in kept.items():
        if not rows:
            raise UserError(f"{root}: every image of {name} is broken, the first: {tables[name][0][1]}; replace them")
    return kept
