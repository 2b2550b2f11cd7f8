"""Episodes: a CSV file `episode,role,path`; the role is anchor, positive or negative.

An episode asks: which of these candidates shows the anchor's identity? It has one anchor, one positive and at least
one negative. The rows of an episode may be anywhere in the file.

Attributes of the episodes are in a CSV file `episode,<name>,<name>...` of the same name, in the folder `attributes/`.
Names and values are free. The attribute `snippet` names the video of an episode; episodes of one video are not
independent.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset.formats.manifest import read_rows
from runtime.errors import UserError
from runtime.files import replace_file

COLUMNS = ("episode", "role", "path")
SNIPPET = "snippet"
RESERVED = "candidates"  # an episode's number of candidates is known without a file


@dataclass(frozen=True)
class Episodes:
    """E episodes over U different images.

    Attributes:
        names: (E,) name of each episode.
        paths: (U,) the images, each once, relative to `image_root`.
        anchors, positives: (E,) indices into `paths`.
        negatives: (M,) indices into `paths`, episode after episode.
        offsets: (E + 1,) the negatives of episode i are `negatives[offsets[i]:offsets[i + 1]]`.
        image_root: the folder that the paths start from.
        source: the CSV file, for messages.
        attributes: name -> (E,) strings; empty without an attribute file.
    """

    names: np.ndarray
    paths: np.ndarray
    anchors: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    offsets: np.ndarray
    image_root: Path
    source: Path
    attributes: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def files(self) -> list[str]:
        """The full path of every image."""
        root = str(self.image_root)
        return [f"{root}/{path}" for path in self.paths]


def read_episodes(path: Path, image_root: Path) -> Episodes:
    """The episodes of a file, with their attributes if there are any. Checks that every episode is complete.

    Raises:
        UserError: naming the file, the row or the episode.
    """
    path, rows = Path(path), read_rows(path)
    if not rows or tuple(rows[0]) != COLUMNS:
        raise UserError(f"{path}: the first line must be {','.join(COLUMNS)}")
    if len(rows) == 1:
        raise UserError(f"{path}: no episodes in it")
    image_index: dict[str, int] = {}
    episodes: dict[str, dict[str, list[int]]] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise UserError(f"{path}: row {number}: {len(row)} fields instead of {len(COLUMNS)}")
        name, role, image = row
        if role not in ("anchor", "positive", "negative"):
            raise UserError(f"{path}: row {number}: role {role!r}; it must be anchor, positive or negative")
        roles = episodes.setdefault(name, {"anchor": [], "positive": [], "negative": []})
        roles[role].append(image_index.setdefault(image, len(image_index)))
    for name, roles in episodes.items():
        if len(roles["anchor"]) != 1 or len(roles["positive"]) != 1 or not roles["negative"]:
            have = ", ".join(f"{len(images)} {role}" for role, images in roles.items())
            raise UserError(f"{path}: episode {name!r} has {have}; it needs 1 anchor, 1 positive, 1 or more negatives")
        images = [*roles["anchor"], *roles["positive"]]
        if images[0] == images[1] or not set(images).isdisjoint(roles["negative"]):
            raise UserError(f"{path}: episode {name!r} has one image in two roles")
    values = list(episodes.values())
    lengths = [len(roles["negative"]) for roles in values]
    names = np.array(list(episodes), dtype=object)
    attributes = attributes_path(path)
    return Episodes(
        names=names,
        paths=np.array(list(image_index), dtype=object),
        anchors=np.array([roles["anchor"][0] for roles in values]),
        positives=np.array([roles["positive"][0] for roles in values]),
        negatives=np.concatenate([roles["negative"] for roles in values]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        image_root=Path(image_root),
        source=path,
        attributes=read_attributes(attributes, names) if attributes.exists() else {},
    )


def write_episodes(path: Path, episodes: list[tuple[str, str, list[str]]]) -> None:
    """Writes (anchor, positive, negatives) triples of image paths. The position of an episode becomes its name.

    An attribute file of earlier episodes is removed.
    """
    attributes_path(path).unlink(missing_ok=True)
    with replace_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, (anchor, positive, negatives) in enumerate(episodes):
            writer.writerow((number, "anchor", anchor))
            writer.writerow((number, "positive", positive))
            writer.writerows((number, "negative", negative) for negative in negatives)


def attributes_path(episode_file: Path) -> Path:
    """The path of the attribute file that belongs to an episode file."""
    return episode_file.parent / "attributes" / episode_file.name


def read_attributes(path: Path, names: np.ndarray) -> dict[str, np.ndarray]:
    """The attributes of episodes.

    Args:
        path: the attribute file; its rows may be in any order.
        names: (E,) the episodes' names, in the order of their file. The file must have exactly one row for each.

    Returns:
        Attribute name -> its values, (E,) strings in the order of `names`.

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
        raise UserError(
            f"{path}: the column name {RESERVED!r} is reserved for the number of candidates; rename the column"
        )
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
            raise UserError(f"{path}: row {number}: episode {row[0]!r} already has a row; keep one of them")
        of_episode[row[0]] = row[1:]
    lacking = [name for name in names if name not in of_episode]
    if lacking:
        more = f" (and {len(lacking) - 1:,} more have none)" if len(lacking) > 1 else ""
        raise UserError(f"{path}: episode {lacking[0]!r} has no row{more}; add one row per episode")
    values = zip(*(of_episode[name] for name in names), strict=True)
    return {column: np.array(value, dtype=object) for column, value in zip(columns[1:], values, strict=True)}


def write_attributes(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Writes attributes of episodes written by `write_episodes`.

    Args:
        path: `episodes/attributes/<set>.csv`.
        columns: attribute name -> its values, one for each episode; `read_attributes` must accept them.

    Raises:
        ValueError: for columns of different lengths.
    """
    rows = list(zip(*columns.values(), strict=True))
    with replace_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("episode", *columns))
        writer.writerows((number, *row) for number, row in enumerate(rows))
