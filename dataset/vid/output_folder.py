"""The output folder of ImageNet VID: the paths of its files, and the settings of its crops."""

import contextlib
import csv
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset.vid.annotations import SPLITS, Problem
from dataset.vid.crop_writer import PARTIAL
from dataset.vid.index import SplitIndex, read_index
from dataset.vid.siamfc_crops import CropSettings
from dataset.vid.statistics import count_problems
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.json_files import read_json
from runtime.locks import only_one

MADE_BY = "dataset.prepare.imagenetvid"


class OutputFolder:
    """Paths and records of one output folder."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.settings_json = self.path / "settings.json"

    def index_file(self, split: str) -> Path:
        """The annotations of a split."""
        return self.path / "index" / f"{split}.npz"

    def record_file(self, split: str) -> Path:
        """The record of the crops of a split, written after all of them."""
        return self.path / f"crops_{split}.json"

    def problems_file(self, split: str) -> Path:
        """The list of skipped files and objects, with reasons."""
        return self.path / f"problems_{split}.csv"

    def splits(self) -> list[str]:
        """The splits whose annotations have been read."""
        return [split for split in SPLITS if self.index_file(split).exists()]

    @property
    def root(self) -> Path:
        """The folder of the archive."""
        return self._settings()[0]

    @property
    def crop_settings(self) -> CropSettings:
        """The settings of the crops; the defaults if there are no crops yet."""
        return self._settings()[1] or CropSettings()

    def _settings(self) -> tuple[Path, CropSettings | None]:
        """The folder of the archive, and the settings of the crops if there are any."""
        settings = read_json(self.settings_json)
        if not isinstance(settings, dict) or settings.get("made_by") != MADE_BY:
            raise UserError(f"{self.settings_json}: it was not made by this command; give another --out")
        try:
            crops = settings["crops"]
            return Path(settings["root"]), None if crops is None else CropSettings(**crops)
        except (KeyError, TypeError):
            raise UserError(f"{self.settings_json}: damaged, or of another version; give another --out") from None

    def check(self) -> None:
        """Raises a UserError unless this command made the folder."""
        if not self.settings_json.exists():
            raise UserError(f"{self.path}: nothing to curate in it; first run the command crop with this --out")
        self._settings()

    def agreed(self, root: Path, crops: CropSettings | None) -> dict[str, Any]:
        """The content of settings.json for an archive and the settings of crops; None keeps the existing settings.

        Raises:
            UserError: when the folder has other files, or was made with other settings.
        """
        root, made = Path(root).resolve(), None
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: this is a file, not a folder; give another --out")
        if self.settings_json.exists():
            made_from, made = self._settings()
            if made_from != root and made_from.exists():
                raise UserError(f"{self.path}: it was made from {made_from}, not from {root}; give another --out")
        elif self.path.exists():
            left_over = (".lock", f".{self.settings_json.name}.")  # files of a command that was killed at its start
            if not all(entry.name.startswith(left_over) for entry in self.path.iterdir()):
                what = "this folder is not empty and was not made by this command"
                raise UserError(f"{self.path}: {what}; give another --out")
        if crops and made and crops != made:
            pairs = zip(vars(crops).items(), vars(made).values(), strict=True)
            differences = ", ".join(f"{name} {old} instead of {new}" for (name, new), old in pairs if old != new)
            raise UserError(f"{self.path}: its crops were made with other settings ({differences}); give another --out")
        settings = made or crops
        return {"made_by": MADE_BY, "root": str(root), "crops": vars(settings) if settings else None}

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Keeps other processes out of the folder, and removes incomplete files of killed ones.

        Raises:
            UserError: when another process uses the folder.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error
        with only_one(self.path / ".lock", f"{self.path}: another process is using it; wait until it ends"):
            self._clean()
            yield
            self._clean()

    def _clean(self) -> None:
        shutil.rmtree(self.path / PARTIAL, ignore_errors=True)
        for folder in (self.path, self.path / "index", self.path / "episodes", self.path / "episodes" / "attributes"):
            for left in folder.glob(".*.tmp"):
                left.unlink(missing_ok=True)

    def usable_index(self, split: str) -> tuple[SplitIndex, dict[str, int]]:
        """The annotations of a split without objects that have no crop, and the number of skipped ones by kind.

        They are smaller than `min_box`, or in a frame with an unreadable image.
        """
        index, small = without_small(read_index(self.index_file(split)), self.crop_settings.min_box)
        if not self.record_file(split).exists():
            return index, count_problems(index.problems) | small
        record = read_json(self.record_file(split))
        if not (isinstance(record, dict) and isinstance(record.get("missing_frames"), list) and "left_out" in record):
            raise UserError(f"{self.record_file(split)}: it is damaged; run the command crop again")
        if missing := set(record["missing_frames"]):
            pairs = zip(index.folders[index.snippet_of_frame].tolist(), index.names.tolist(), strict=True)
            frames = [f"{folder.decode()}/{name.decode()}" not in missing for folder, name in pairs]
            index = index.select(np.array(frames), np.full(len(index.trackids), True))
        return index, record["left_out"]

    def write_problems(self, split: str, problems: Sequence[Problem]) -> None:
        """Writes the list of problems."""
        with replace_file(self.problems_file(split)) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Problem._fields)
            writer.writerows(problems)


def without_small(index: SplitIndex, min_box: float) -> tuple[SplitIndex, dict[str, int]]:
    """The index without objects that have a side below `min_box` pixels, and the number of these by kind."""
    large = (index.boxes[:, 2:] - index.boxes[:, :2] >= min_box).all(1)  # (O,)
    small = int((~large).sum())
    index = index.select(np.full(index.frame_count, True), large)
    return index, {f"box below {min_box:g} pixels": small} if small else {}
