"""The images in the official folders of a data set, and tables of them."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dataset.formats.image_folders import IMAGE_EXTENSIONS
from dataset.formats.manifest import Row, Tables
from dataset.formats.reserved import DISTRACTOR, JUNK
from dataset.sources.names import parse_names
from runtime.counting import counted
from runtime.errors import UserError

# Market-1501, DukeMTMC-reID and the extracted CUHK03 have the same three folders.
FOLDERS = {"train.csv": "bounding_box_train", "query.csv": "query", "gallery.csv": "bounding_box_test"}


def open_root(root: str, parts: tuple[str, ...], option: str = "--root") -> Path:
    """The folder of a data set as an absolute path. `parts` are files or folders that it must have.

    Raises:
        UserError: when something is missing. The message names a folder inside that has all parts, if there is one.
    """
    folder = Path(root).resolve()
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(f"{option} {root!a}: its name is not UTF-8; rename the folder") from None
    if not folder.is_dir():
        raise UserError(f"{option} {root}: {'this is not a folder' if folder.exists() else 'no such folder'}")
    missing = [part for part in parts if not (folder / part).exists()]
    if missing:
        try:
            inner = sorted(f for f in folder.iterdir() if f.is_dir() and all((f / part).exists() for part in parts))
        except OSError as error:
            raise UserError(f"{option} {root}: cannot be read: {error.strerror}") from error
        wanted = f"it must have {', '.join(parts)}"
        remedy = f"did you mean {option} {Path(root) / inner[0].name}?" if inner else wanted
        raise UserError(f"{option} {root}: there is no {missing[0]} in it; {remedy}")
    return folder


def list_images(folder: Path) -> tuple[list[str], Counter[str]]:
    """The sorted names of the JPEG and PNG files directly in `folder`, and the number of other files by extension.

    Hidden files are skipped.

    Raises:
        UserError: when `folder` cannot be read or has no images.
    """
    names: list[str] = []
    others: Counter[str] = Counter()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                extension = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (a million of them)
                if entry.name.startswith(".") or entry.is_dir():
                    continue
                if extension in IMAGE_EXTENSIONS:
                    names.append(entry.name)
                else:
                    others[extension or "(no extension)"] += 1
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from error
    if not names:
        raise UserError(f"{folder}: no JPEG or PNG images in it; check that the archive is completely unpacked")
    return sorted(names), others


def read_folder(root: Path, folder: str, form: str) -> tuple[list[Row], Counter[str]]:
    """Rows (identity, path, camera[, sequence]) of the images in a folder, and the other files by extension.

    Raises:
        UserError: as `list_images` and `parse_names`.
    """
    names, others = list_images(root / folder)
    labels = parse_names(names, form, str(root / folder))
    rows: list[Row] = [(who, f"{folder}/{name}", *rest) for name, (who, *rest) in zip(names, labels, strict=True)]
    return rows, others


def read_splits(root: Path, form: str) -> tuple[dict[str, list[Row]], Counter[str]]:
    """train.csv, query.csv and gallery.csv of a data set with the three folders of FOLDERS, and other files.

    Raises:
        UserError: as `read_folder`, and for junk or distractors among the training images or the queries.
    """
    tables: dict[str, list[Row]] = {}
    others: Counter[str] = Counter()
    for table, folder in FOLDERS.items():
        tables[table], more = read_folder(root, folder, form)
        nobody = [row[1] for row in tables[table] if row[0] in (JUNK, DISTRACTOR)] if table != "gallery.csv" else []
        if nobody:
            what = f"{counted(len(nobody), 'image')} of junk or distractors ({nobody[0]} ...)"
            raise UserError(f"{root / folder}: {what}; move them to {FOLDERS['gallery.csv']}")
        others += more
    return tables, others


def split_classes(rows: Sequence[tuple[int, Row]], last: int, where: str) -> Tables:
    """train.csv with the classes up to number `last`, and test.csv with the others.

    Raises a `UserError` that begins with `where` when one of them would be empty.
    """
    tables: dict[str, list[Row]] = {"train.csv": [], "test.csv": []}
    for number, row in rows:
        tables["train.csv" if number <= last else "test.csv"].append(row)
    for table, members in tables.items():
        if not members:
            what = f"classes {'1 to' if table == 'train.csv' else 'above'} {last}"
            raise UserError(f"{where}: no image of {what}, so {table} would be empty; check that all files are there")
    return tables
