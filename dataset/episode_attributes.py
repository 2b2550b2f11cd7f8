"""Attributes of episodes: a CSV file `episode,<name>,<name>...` in `attributes/`, beside the episode file of its name.

Names and values are free. `snippet` says which video an episode is from; episodes of one video are alike.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataset.manifest import read_rows
from runtime.errors import UserError
from runtime.files import replace_file

SNIPPET = "snippet"
RESERVED = "candidates"  # an episode's number of candidates is known without a file


def attributes_path(episode_file: Path) -> Path:
    """Where the attributes of an episode file are, if it has any."""
    return episode_file.parent / "attributes" / episode_file.name


def read_attributes(path: Path, names: np.ndarray) -> dict[str, np.ndarray]:
    """Reads the attributes of episodes.

    Args:
        path: the file; its rows may stand in any order.
        names: (E,) the episodes' names, in the order of their file. The file must have a row for each and no other.

    Returns:
        The values, strings, by attribute: (E,) each, in the order of `names`.

    Raises:
        UserError: naming the file and the row, column or episode.
    """
    path, rows = Path(path), read_rows(path)
    columns = rows[0] if rows else []
    if len(columns) < 2 or columns[0] != "episode" or not all(columns):
        raise UserError(f"{path}: the first line must be episode,<name>,<name>...")
    for name in columns:
        if columns.count(name) > 1:
            raise UserError(f"{path}: the column {name!r} is there {columns.count(name)} times; keep one of them")
    if RESERVED in columns:
        raise UserError(f"{path}: the name {RESERVED!r} is taken by the number of candidates; rename the column")
    of_episode: dict[str, list[str]] = {}
    known = set(names)
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(columns):
            raise UserError(f"{path}: row {number}: {len(row)} fields instead of {len(columns)} ({','.join(columns)})")
        if not all(row):
            raise UserError(f"{path}: row {number}: empty {columns[row.index('')]}")
        if row[0] not in known:
            raise UserError(f"{path}: row {number}: there is no episode {row[0]!r}")
        if row[0] in of_episode:
            raise UserError(f"{path}: row {number}: episode {row[0]!r} has a row already; keep one of them")
        of_episode[row[0]] = row[1:]
    lacking = [name for name in names if name not in of_episode]
    if lacking:
        more = f" (and {len(lacking) - 1} more without one)" if len(lacking) > 1 else ""
        raise UserError(f"{path}: episode {lacking[0]!r} has no row{more}")
    values = zip(*(of_episode[name] for name in names), strict=True)
    return {column: np.array(value, dtype=object) for column, value in zip(columns[1:], values, strict=True)}


def write_attributes(path: Path, columns: dict[str, Sequence[object]]) -> None:
    """Writes attributes of episodes that are named by their position, as `write_episodes` names them.

    Args:
        path: `episodes/attributes/<set>.csv`.
        columns: the values by attribute, one for each episode, all of one length.

    Raises:
        ValueError: for columns of different lengths, none at all, or a name or value that cannot be read again.
    """
    if not columns or not {"", "episode", RESERVED}.isdisjoint(columns):
        raise ValueError(f"attributes {', '.join(columns) or 'missing'}: not 'episode', {RESERVED!r} or nothing")
    rows = [tuple(map(str, row)) for row in zip(*columns.values(), strict=True)]
    empty = next((number for number, row in enumerate(rows) if not all(row)), None)
    if empty is not None:
        raise ValueError(f"episode {empty}: an attribute is empty; give it a word for that, such as unknown")
    with replace_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("episode", *columns))
        writer.writerows((number, *row) for number, row in enumerate(rows))
