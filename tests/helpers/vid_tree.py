"""A small tree in the form of ImageNet VID with known objects, readers of the results, and one video."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.formats import episodes
from dataset.vid.annotations import Frame, Snippet, VideoObject
from dataset.vid.synthetic.render import annotation_xml

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


def thing(
    trackid: int, box: tuple, category: str = CATEGORIES[0], occluded: bool = False, generated: bool = False
) -> VideoObject:
    """One object of a frame; the box is xmin, ymin, xmax, ymax."""
    return VideoObject(trackid, category, *map(float, box), occluded, generated)


def tree(split: str, repeat: int = 1) -> list[Snippet]:
    """The annotated snippets, with `repeat` times the frames: objects move, and some are occluded in some frames."""
    rng = np.random.default_rng(["train", "val"].index(split))
    snippets = []
    for number, (folder, counts) in enumerate(SNIPPETS[split].items()):
        frames = []
        for position, count in enumerate(counts * repeat):
            objects = []
            others = rng.choice([0, 1, 3, 4, 5], max(0, count - 1), replace=False).tolist()
            for trackid in sorted([2, *others]) if count else []:
                x, y = (8 + 26 * (trackid % 3) + rng.integers(-8, 9), 6 + 32 * (trackid // 3) + rng.integers(-8, 9))
                width, height = rng.integers(14, 27, 2)
                category = CATEGORIES[(number + trackid % 2) % 3]
                objects.append(thing(trackid, (x, y, x + width, y + height), category, *(rng.uniform(size=2) < 0.2)))
            frames.append(Frame(split, folder, f"{position:06d}", *SIZE, tuple(objects)))
        snippets.append(Snippet(split, folder, frames))
    return snippets


def crop_file(frame: Frame, trackid: int, kind: str = "crop.x") -> str:
    """The path of a crop."""
    letter = "e" if frame.split == "val" else "abcd"[int(frame.folder.split("/")[0][-1])]
    return f"crops/{letter}/{frame.snippet}/{frame.name}.{trackid:02d}.{kind}.jpg"


def annotation(root: Path, split: str, folder: str, name: str) -> Path:
    return root / "Annotations" / "VID" / split / folder / f"{name}.xml"


def picture(root: Path, split: str, folder: str, name: str) -> Path:
    return root / "Data" / "VID" / split / folder / f"{name}.JPEG"


def put_frame(root: Path, split: str, folder: str, name: str, objects: Sequence[VideoObject]) -> Frame:
    """Writes a frame's annotation and its picture, which is smooth and different for each frame."""
    frame = Frame(split, folder, name, *SIZE, tuple(objects))
    noise = np.random.default_rng([*f"{folder}/{name}".encode()]).integers(0, 256, (9, 12, 3), np.uint8)
    file, image = annotation(root, split, folder, name), picture(root, split, folder, name)
    for path in (file, image):
        path.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(annotation_xml(frame))
    Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC).save(image, "JPEG", quality=95)
    return frame


def make_root(root: Path, repeat: int = 1) -> Path:
    """Writes the `tree` of both splits."""
    for snippet in tree("train", repeat) + tree("val", repeat):
        for frame in snippet.frames:
            put_frame(root, frame.split, frame.folder, frame.name, frame.objects)
    return root


def read_csv(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_episodes(file: Path) -> list[tuple[str, str, list[str]]]:
    """(anchor, positive, negatives) of each episode."""
    read = episodes.read_episodes(file, file.parent)
    parts = zip(read.anchors, read.positives, np.split(read.negatives, read.offsets[1:-1]), strict=True)
    return [(read.paths[anchor], read.paths[positive], read.paths[rest].tolist()) for anchor, positive, rest in parts]


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


WIDTH, HEIGHT = 120, 80
COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
# Trackids by frame: number 2 is missing in a frame, and one frame is empty.
PRESENT = [(0, 1, 2), (0, 1), (), (0, 1, 2)]


def make_snippet(folder, present=PRESENT, names=None, size=(WIDTH, HEIGHT), pictures="frames <1>") -> tuple[Path, Path]:
    """DIR/<pictures> and DIR/xml; the third square exceeds the frame. `size` is what the annotations say."""
    pictures, annotations = folder / pictures, folder / "xml"
    pictures.mkdir(parents=True)
    annotations.mkdir()
    random = np.random.default_rng(0)
    for i, ids in enumerate(present):
        name = names[i] if names else f"{i:06d}"
        picture = Image.fromarray(random.integers(90, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        objects = []
        for k in ids:
            box = (5 + 40 * k + 3 * i, 20, 35 + 40 * k + 3 * i, 50)
            picture.paste(COLOURS[k], box)
            objects.append(thing(k, box, "n01503061", occluded=k == 1))
        picture.save(pictures / f"{name}.{['JPEG', 'jpg', 'png', 'JPG'][i % 4]}")
        (annotations / f"{name}.xml").write_text(annotation_xml(Frame("val", "s", name, *size, tuple(objects))))
    return pictures, annotations
