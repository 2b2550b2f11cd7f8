"""Writes the folder of a prepared data set: never over something else, and dataset.json last."""

import shutil
from pathlib import Path

from dataset.formats.manifest import COLUMNS, read_rows
from runtime.errors import UserError
from runtime.json_files import read_json

PRODUCTS = ("dataset.json", "train.csv", "test.csv")
ALL_LISTS = {"train.csv", "query.csv", "gallery.csv", "multi_query.csv", "test.csv", "episodes"}
COPIES = "images"


def refuse_other_content(
    out: Path,
    root: Path,
    tables: dict[str, list[tuple[str, ...]]],
    info: dict,
    copies: set[str],
    products: tuple[str, ...] = PRODUCTS,
) -> None:
    """Lets a preparation be repeated or completed, but never lets it write over something else.

    Args:
        out, root: folder of the prepared data set, and of the images; both absolute.
        tables: CSV file -> rows, as they will be written.
        info: dataset.json, as it will be written.
        copies: the paths that will be in OUT/images; empty where images stay.
        products: dataset.json, then every CSV file that a preparation of this kind may write.

    Raises:
        UserError: when `out` holds anything that this preparation would not write, or would write differently.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out}: is a file")
    remedy = "choose another --out, or delete that folder first"
    ours = {*products} | ({COPIES} if copies else set())
    present = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}
    if root.is_relative_to(out) and root != out:
        present.discard(root.relative_to(out).parts[0])  # the images themselves
    foreign = sorted(present & (ALL_LISTS - ours) if root == out else present - ours)
    if copies and (out / COPIES).is_dir():
        there = (f.relative_to(out / COPIES).as_posix() for f in (out / COPIES).rglob("*") if f.is_file())
        foreign += sorted(f"{COPIES}/{f}" for f in there if f not in copies and not f.endswith(".part"))
    if foreign:
        raise UserError(f"--out {out}: it already holds other files ({', '.join(foreign[:3])} ...); {remedy}")
    for name in products[1:]:
        table = [COLUMNS[: len(tables[name][0])], *tables[name]] if name in tables else []
        if (out / name).exists() and [tuple(row) for row in read_rows(out / name)] != table:
            raise UserError(f"--out {out}: its {name} is another one than this preparation makes; {remedy}")
    if (out / "dataset.json").exists() and read_json(out / "dataset.json") != info:
        raise UserError(f"--out {out}: it is another prepared data set (see its dataset.json); {remedy}")


def copy_images(source: Path, target: Path, paths: list[str]) -> None:
    """Copies what is not there yet; a copy takes its name only when it is whole."""
    for path in paths:
        old, new = source / path, target / path
        stat = old.stat()
        if new.exists() and (new.stat().st_size, new.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        part = new.with_name(new.name + ".part")
        shutil.copy2(old, part)
        part.replace(new)


def listed(others: dict[str, int]) -> str:
    """`12 .txt, 3 .gif`."""
    return ", ".join(f"{count} {extension}" for extension, count in sorted(others.items(), key=lambda item: -item[1]))
