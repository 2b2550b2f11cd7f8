"""Small trees in the form of ImageNet VID, and a reader of them that shares nothing with the project's."""

import csv
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]

SIZE = (96, 72)
SNIPPETS = {  # folder below the split -> objects in each frame
    "train": {
        "ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000": [3, 4, 3, 4, 3, 3],
        "ILSVRC2015_VID_train_0001/ILSVRC2015_train_00139000": [3, 3, 3, 3, 3, 3],
        "ILSVRC2015_VID_train_0002/ILSVRC2015_train_00555002": [1, 1, 3, 1, 1, 3],
        "ILSVRC2015_VID_train_0003/ILSVRC2015_train_01000001": [4, 2, 3, 0, 3, 3],
    },
    "val": {
        "ILSVRC2015_val_00000000": [4, 3, 4, 3, 3, 4],
        "ILSVRC2015_val_00000001": [3, 3, 3, 3, 3, 3],
        "ILSVRC2015_val_00005000": [5, 2, 3, 1, 3, 2],
        "ILSVRC2015_val_00009000": [1, 3, 1, 0, 1, 3],
        "ILSVRC2015_val_00010000": [0, 0, 0, 0, 0, 1],
    },
}
CATEGORIES = ("n02084071", "n02402425", "n02691156")


@dataclass(frozen=True)
class Object:
    """One object of a frame; the box is xmin, ymin, xmax, ymax."""

    trackid: int
    box: Box
    category: str = CATEGORIES[0]
    occluded: bool = False
    generated: bool = False


@dataclass
class FrameTruth:
    """What one XML file says."""

    split: str
    folder: str
    name: str
    size: tuple[int, int]
    objects: dict[int, Object] = field(default_factory=dict)

    @property
    def snippet(self) -> str:
        return self.folder.split("/")[-1]

    def crop(self, trackid: int) -> str:
        letter = "e" if self.split == "val" else "abcd"[int(self.folder.split("/")[0][-1])]
        return f"crops/{letter}/{self.snippet}/{self.name}.{trackid:02d}.crop.x.jpg"


def xml(folder: str, name: str, objects: list[Object], size: tuple[int, int] = SIZE) -> str:
    """An annotation, line by line as in ILSVRC2015_VID_train_0002."""
    lines = ["<annotation>", f"\t<folder>{folder}</folder>", f"\t<filename>{name}</filename>"]
    lines += ["\t<source>", "\t\t<database>ILSVRC_2015</database>", "\t</source>"]
    lines += ["\t<size>", f"\t\t<width>{size[0]}</width>", f"\t\t<height>{size[1]}</height>", "\t</size>"]
    for o in objects:
        xmin, ymin, xmax, ymax = o.box
        lines += ["\t<object>", f"\t\t<trackid>{o.trackid}</trackid>", f"\t\t<name>{o.category}</name>", "\t\t<bndbox>"]
        lines += [f"\t\t\t<xmax>{xmax}</xmax>", f"\t\t\t<xmin>{xmin}</xmin>"]
        lines += [f"\t\t\t<ymax>{ymax}</ymax>", f"\t\t\t<ymin>{ymin}</ymin>", "\t\t</bndbox>"]
        lines += [f"\t\t<occluded>{o.occluded:d}</occluded>", f"\t\t<generated>{o.generated:d}</generated>"]
        lines += ["\t</object>"]
    return "\n".join([*lines, "</annotation>", ""])


def annotation(root: Path, split: str, folder: str, name: str) -> Path:
    return root / "Annotations" / "VID" / split / folder / f"{name}.xml"


def picture(root: Path, split: str, folder: str, name: str) -> Path:
    return root / "Data" / "VID" / split / folder / f"{name}.JPEG"


def put_frame(
    root: Path, split: str, folder: str, name: str, objects: list[Object], pixels: np.ndarray | None = None
) -> None:
    """Writes a frame's annotation and its picture: `pixels`, or something smooth that no other frame has."""
    if pixels is None:
        noise = np.random.default_rng([*f"{folder}/{name}".encode()]).integers(0, 256, (9, 12, 3), np.uint8)
        pixels = np.asarray(Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC))
    file, image = annotation(root, split, folder, name), picture(root, split, folder, name)
    for path in (file, image):
        path.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(xml(folder, name, objects, (pixels.shape[1], pixels.shape[0])))
    Image.fromarray(pixels).save(image, "JPEG", quality=95)


def make_root(root: Path, repeat: int = 1) -> Path:
    """Writes the tree of SNIPPETS, with `repeat` times the frames: objects move, some are occluded in some frames."""
    rng = np.random.default_rng(0)
    for split, snippets in SNIPPETS.items():
        for number, (folder, counts) in enumerate(snippets.items()):
            for position, count in enumerate(counts * repeat):
                objects = []
                others = rng.choice([0, 1, 3, 4, 5], max(0, count - 1), replace=False).tolist()
                for trackid in sorted([2, *others]) if count else []:
                    x, y = (8 + 26 * (trackid % 3) + rng.integers(-8, 9), 6 + 32 * (trackid // 3) + rng.integers(-8, 9))
                    width, height = rng.integers(14, 27, 2)
                    box = tuple(int(v) for v in (x, y, x + width, y + height))
                    hidden, generated = rng.uniform(size=2) < 0.2
                    objects.append(Object(trackid, box, CATEGORIES[(number + trackid % 2) % 3], hidden, generated))
                put_frame(root, split, folder, f"{position:06d}", objects)
    return root


def read_root(root: Path) -> dict[tuple[str, str], FrameTruth]:
    """All frames of a sound tree by (snippet, frame name)."""
    frames = {}
    top = root / "Annotations" / "VID"
    for file in sorted(top.rglob("*.xml")):
        split, *folders = file.relative_to(top).parent.parts
        tree = ElementTree.fromstring(file.read_bytes())
        size = tuple(int(tree.find("size").find(side).text) for side in ("width", "height"))
        frame = FrameTruth(split, "/".join(folders), file.stem, size)
        for element in tree.findall("object"):
            values = {child.tag: child.text for child in element}
            sides = {child.tag: float(child.text) for child in element.find("bndbox")}
            box = tuple(sides[side] for side in ("xmin", "ymin", "xmax", "ymax"))
            flags = values["occluded"] == "1", values["generated"] == "1"
            frame.objects[int(values["trackid"])] = Object(int(values["trackid"]), box, values["name"], *flags)
        frames[frame.snippet, frame.name] = frame
    return frames


def snippet_class(frames: list[FrameTruth]) -> str:
    """By majority: over half of the frames."""
    empty = sum(not frame.objects for frame in frames)
    several = sum(len(frame.objects) >= 2 for frame in frames)
    if empty > len(frames) / 2:
        return "missing_bbox"
    return "multiple_bboxes" if several > len(frames) / 2 else "single_bboxes"


def read_csv(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_episodes(file: Path) -> list[tuple[str, str, list[str]]]:
    """(anchor, positive, negatives) of each episode."""
    episodes: dict[str, dict[str, list[str]]] = {}
    for row in read_csv(file):
        episodes.setdefault(row["episode"], {}).setdefault(row["role"], []).append(row["path"])
    for roles in episodes.values():
        assert Counter({role: len(paths) for role, paths in roles.items() if role != "negative"}) == Counter(
            anchor=1, positive=1
        )
    return [(roles["anchor"][0], roles["positive"][0], roles["negative"]) for roles in episodes.values()]


def contents(folder: Path, *suffixes: str) -> dict[str, bytes]:
    """Every file below a folder (or those with one of these suffixes), with its bytes."""
    files = [f for f in folder.rglob("*") if f.is_file() and (not suffixes or f.suffix in suffixes)]
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


def edit(file: Path, old: str, new: str) -> str:
    """Replaces the first occurrence; returns the file's name."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return str(file)
