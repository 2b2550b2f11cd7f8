"""A prepared data set: a folder with `dataset.json`, `train.csv` and any number of evaluation sets.

data/<name>/dataset.json        name, origin, licence, counts, image_root (relative to this folder, or absolute)
data/<name>/train.csv           training images
data/<name>/query.csv, gallery.csv      an evaluation set: every query against the gallery
data/<name>/test.csv            an evaluation set: every image against all others
data/<name>/episodes/<set>.csv  evaluation sets of episodes
data/<name>/episodes/attributes/<set>.csv      attributes of the episodes of a set, optional
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

from runtime import plugins
from runtime.errors import UserError
from runtime.json_files import read_json


@dataclass(frozen=True)
class PreparedDataset:
    """The name and the folders of a prepared data set."""

    name: str
    folder: Path
    image_root: Path

    @property
    def train_csv(self) -> Path:
        return self.folder / "train.csv"


def open_prepared(dataset: str) -> PreparedDataset:
    """The prepared data set in the folder `dataset`, else in `data/<dataset>`.

    Relative paths start in the current folder, else in the project's folder.

    Raises:
        UserError: when none of these folders is a prepared data set.
    """
    bases = [Path(), plugins.ROOT]
    candidates = [base / part for base in bases for part in (Path(dataset), Path("data") / dataset)]
    folder = next((c for c in candidates if (c / "dataset.json").is_file()), None)
    if folder is None:
        places = " nor ".join(dict.fromkeys(str(c / "dataset.json") for c in candidates[:2]))
        names = [file.parent.name for file in (plugins.ROOT / "data").glob("*/dataset.json")]
        near = difflib.get_close_matches(dataset, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(plugins.choices("dataset.prepare"))
        remedy = f"{hint}to prepare one: python -m dataset.prepare.NAME (NAME: {known})"
        if begun := next((c for c in candidates if (c / "index").is_dir()), None):
            remedy = f"next: python -m dataset.prepare.imagenetvid curate --out {begun} --seed 0"
        raise UserError(f"data set {dataset!r}: there is no {places}; {remedy}")
    info = read_json(folder / "dataset.json")
    if not isinstance(info, dict) or not isinstance(info.get("image_root"), str):
        raise UserError(f"{folder / 'dataset.json'}: it must be a JSON object with a string 'image_root'")
    return PreparedDataset(
        name=str(info.get("name", folder.name)),
        folder=folder,
        image_root=folder / info["image_root"],
    )


def image_root_of(csv: Path, given: str | None) -> Path:
    """The folder that a list's paths start from.

    It is `given`, else the image_root of a dataset.json in the list's folder, else the list's folder.
    """
    if given is not None:
        return Path(given)
    return open_prepared(str(csv.parent)).image_root if (csv.parent / "dataset.json").exists() else csv.parent
