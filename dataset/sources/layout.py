"""Lists the images of a data set in its official folders, and makes tables of them."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dataset.formats.image_folders import IMAGE_EXTENSIONS
from dataset.formats.manifest import Row, Tables
from dataset.sources.names import DISTRACTOR, JUNK, parse_names
from runtime.errors import UserError

# The same three folders in Market-1501, DukeMTMC-reID and the extracted CUHK03.
FOLDERS = {"train.csv": "bounding_box_train", "query.csv": "query", "gallery.csv": "bounding_box_test"}


def open_root(root: str, parts: tuple[str, ...], option: str = "--root") -> Path:
    """The folder of a data set, absolute; `parts` are files or folders that it must hold.

    Raises:
        UserError: when something is missing; if it lies in the only folder inside that has all of them, says so.
    """
    folder = Path(root).resolve()
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(f"{option} {root!a}: its name is not UTF-8; rename the folder") from None
    if not folder.is_dir():
        raise UserError(f"{option} {root}: {'not a folder' if folder.exists() else 'no such folder'}")
    missing = [part for part in parts if not (folder / part).exists()]
    if missing:
        try:
            inner = sorted(f for f in folder.iterdir() if f.is_dir() and all((f / part).exists() for part in parts))
        except OSError as error:
            raise UserError(f"{option} {root}: cannot be read: {error.strerror}") from error
        wanted = f"it must hold {', '.join(parts)}"
        remedy = f"did you mean {option} {Path(root) / inner[0].name}?" if inner else wanted
        raise UserError(f"{option} {root}: there is no {missing[0]} in it; {remedy}")
    return folder


def list_images(folder: Path) -> tuple[list[str], Counter[str]]:
    """The names of the JPEG and PNG files directly in `folder`, sorted, and the other files by extension.

    Hidden files are passed over.

    Raises:
        UserError: when it is no readable folder, or has no images.
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
        raise UserError(f"{folder}: no JPEG or PNG images in it; is the archive unpacked completely?")
    return sorted(names), others


def read_folder(root: Path, folder: str, form: str) -> tuple[list[Row], Counter[str]]:
    """Rows (identity, path, camera[, sequence]) of one folder's images, and its other files by extension.

    Raises:
        UserError: as `list_images` and `parse_names`.
    """
    names, others = list_images(root / folder)
    labels = parse_names(names, form, str(root / folder))
    rows: list[Row] = [(who, f"{folder}/{name}", *rest) for name, (who, *rest) in zip(names, labels, strict=True)]
    return rows, others


def read_splits(root: Path, form: str) -> tuple[dict[str, list[Row]], Counter[str]]:
    """train.csv, query.csv and gallery.csv of a data set in the three folders of FOLDERS.

    Raises:
        UserError: as `read_folder`, and for junk or distractors among the training images or the queries.
    """
    tables: dict[str, list[Row]] = {}
    others: Counter[str] = Counter()
    for table, folder in FOLDERS.items():
        tables[table], more = read_folder(root, folder, form)
        nobody = [row[1] for row in tables[table] if row[0] in (JUNK, DISTRACTOR)] if table != "gallery.csv" else []
        if nobody:
            what = f"{len(nobody)} images of junk or distractors ({nobody[0]} ...)"
            raise UserError(f"{root / folder}: {what}; they belong in {FOLDERS['gallery.csv']}")
        others += more
    return tables, others


def split_classes(rows: Sequence[tuple[int, Row]], last: int, where: str) -> Tables:
    """train.csv of the classes up to number `last`, test.csv of the others.

    Raises a `UserError` that begins with `where` when one of them would be empty.
    """
    tables: dict[str, list[Row]] = {"train.csv": [], "test.csv": []}
    for number, row in rows:
        tables["train.csv" if number <= last else "test.csv"].append(row)
    for table, members in tables.items():
        if not members:
            what = f"classes {'1 to' if table == 'train.csv' else 'above'} {last}"
            raise UserError(f"{where}: no image of {what}: {table} would be empty")
    return tables
