"""What a data set contains: its files, and the lists that use them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset.formats.episodes import Episodes, read_episodes
from dataset.formats.image_folders import images_in
from dataset.formats.manifest import Manifest, read_manifest
from dataset.formats.prepared import open_prepared
from dataset.formats.reserved import JUNK
from dataset.formats.writing import LISTS
from runtime.errors import UserError

NOBODY = (JUNK, "")  # identities that name nobody


@dataclass(frozen=True)
class Part:
    """A list of a data set, or a set of episodes.

    Attributes:
        name: such as "train", "gallery", or "episodes/val_eval".
        files: (N,) int64, the file of each image: an index into `Contents.files`.
        identities, cameras: (N,) strings, or None.
        episodes: the episodes over these N images, or None.
    """

    name: str
    files: np.ndarray
    identities: np.ndarray | None = None
    cameras: np.ndarray | None = None
    episodes: Episodes | None = None

    @property
    def trains(self) -> bool:
        """Whether its images are for training, or show by design how well training images are known."""
        return self.name.rpartition("/")[2].startswith("train")


@dataclass
class Contents:
    """A data set.

    Attributes:
        title: its folder.
        files: the full path of each file, once.
        names: the path of each file as in its list, for the report.
        parts: name -> list.
    """

    title: str
    files: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)
    _index: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, images: Manifest) -> None:
        """Adds a list."""
        identities = images.identities if images.labelled else None
        self.parts[name] = Part(name, self._indices(images.files(), images.paths), identities, images.cameras)

    def add_episodes(self, name: str, episodes: Episodes) -> None:
        """Adds a set of episodes."""
        self.parts[name] = Part(name, self._indices(episodes.files(), episodes.paths), episodes=episodes)

    def _indices(self, files: list[str], names: np.ndarray) -> np.ndarray:
        found = []
        for file, name in zip(files, names, strict=True):
            index = self._index.setdefault(file, len(self.files))
            if index == len(self.files):
                self.files.append(file)
                self.names.append(name)
            found.append(index)
        return np.array(found, np.int64)

    def labelled(self) -> Iterator[Part]:
        """The lists with identities."""
        return (part for part in self.parts.values() if part.identities is not None)


def read_contents(folder: str) -> Contents:
    """The contents of a prepared data set (its folder, or its name in data/), or of a plain folder of images.

    In a plain folder, the identity of an image is its folder, as for `dataset.prepare.folder`.

    Raises:
        UserError: when there is no such data set or folder, or a list is invalid.
    """
    root = Path(folder)
    try:
        prepared = open_prepared(folder)
    except UserError:
        if not root.is_dir() or (root / "dataset.json").exists():
            raise
        if any((root / name).exists() for name in LISTS):
            return _of_lists(root, root)
        return _of_images(root)
    return _of_lists(prepared.folder, prepared.image_root)


def _of_lists(folder: Path, images: Path) -> Contents:
    contents = Contents(str(folder))
    for name in LISTS:
        if (folder / name).exists():
            contents.add(name.removesuffix(".csv"), read_manifest(folder / name, images))
    for file in sorted((folder / "episodes").glob("*.csv")):
        contents.add_episodes(f"episodes/{file.stem}", read_episodes(file, images))
    if not contents.parts:
        raise UserError(f"{folder}: there is no list in it ({', '.join(LISTS)}, or episodes/NAME.csv)")
    return contents


def _of_images(folder: Path) -> Contents:
    paths = images_in(folder)
    identities = np.array([path.rpartition("/")[0] for path in paths], object)
    contents = Contents(str(folder))
    contents.add("images", Manifest(identities, np.array(paths, object), folder, folder))
    if contents.parts["images"].identities is None and identities.any():  # the first image is in no sub-folder
        contents.parts["images"] = Part("images", contents.parts["images"].files, identities)
    return contents
