"""Folders of public data sets, recognised by their parts: they have commands of their own."""

from collections.abc import Iterable
from pathlib import Path

from dataset.sources.layout import FOLDERS
from dataset.sources.names import FORMS
from runtime.errors import UserError

# The command and the parts, of which all must be there.
_LAYOUTS = (
    ("mars", ("bbox_train", "bbox_test")),
    ("cars196", ("cars_annos.mat",)),
    ("cars196", ("cars_train", "cars_test")),
    ("cuhk03", ("cuhk-03.mat",)),
    ("cuhk03", ("cuhk03_release",)),
    ("cuhk03", ("cuhk03-np",)),
    ("cuhk03", ("labeled/bounding_box_train",)),
    ("cuhk03", ("detected/bounding_box_train",)),
    ("cub", ("images.txt", "image_class_labels.txt")),
    ("sop", ("Ebay_train.txt",)),
    ("imagenetvid", ("Annotations/VID",)),
    ("imagenetvid", ("Data/VID",)),
    ("omniglot", ("images_background", "images_evaluation")),
)
_MOST_PARTS = 20  # folders side by side; more of them are identities
_REID = set(FOLDERS.values())
# Names of parts of a data set. Two of them side by side are no identities.
_PARTS = {"train", "training", "val", "valid", "validation", "test", "testing", "query", "gallery", "probe"}


def refuse_known_layouts(root: Path, folders: dict[str, list[str]], option: str) -> None:
    """Raises a UserError if folders of images are the parts of a data set instead of its identities.

    Args:
        root: the folder that was given.
        folders: the folders of images, by path relative to `root`, with the names of their images.
        option: its option, for the message.
    """
    tops = dict.fromkeys(path.split("/")[0] for path in folders if path)
    for place in (root, *(root / top for top in list(tops)[:_MOST_PARTS])):
        for command, parts in _LAYOUTS:
            if all((place / part).exists() for part in parts):
                _refuse(f"{option} {place}", f"{' and '.join(parts)} in it", command, place)
        there = [name for name in sorted(_REID) if (place / name).is_dir()]
        if len(there) > 1:
            names = [name for path, names in folders.items() if path.rpartition("/")[2] in _REID for name in names]
            command = _named_as(names) or "market1501"
            _refuse(f"{option} {place}", f"the folders {' and '.join(there)}", command, place)
    for path, names in folders.items():
        if several := _named_as(names, several=True):
            place = root.parent if root.name in _REID else root
            _refuse(f"{option} {root / path}", f"names of several identities, such as {names[0]}", several, place)
    split = sorted({top for top in tops if top.lower() in _PARTS})
    if len(split) > 1:
        raise UserError(
            f"{option} {root}: its folders {' and '.join(split)} are parts of a data set, not identities; prepare one "
            f"of them ({option} {root / split[0]}), or lists of all parts with python -m dataset.prepare.csv"
        )


def _named_as(names: Iterable[str], several: bool = False) -> str | None:
    """The command whose form most of the names have; with `several`, only if they have several identities."""
    names = list(names)[:1000]
    for command, form in FORMS.items():
        found = [match[1] for match in map(form.match, names) if match]
        if 2 * len(found) > len(names) and (not several or len(set(found)) > 1):
            return command
    return None


def _refuse(where: str, what: str, command: str, root: Path) -> None:
    title = FORMS[command].title if command in FORMS else command
    options = {"imagenetvid": f"crop --root {root}", "omniglot": "--background A.zip --evaluation E.zip"}
    use = f"use python -m dataset.prepare.{command} {options.get(command, f'--root {root}')}"
    raise UserError(f"{where} looks like {title} ({what}), so its folders are not identities; {use}")
