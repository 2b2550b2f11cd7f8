"""The index of annotations equals the files, after any selection and joining."""

import contextlib
import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from helpers.vid_tree import CATEGORIES, annotation, edit, make_root, put_frame, thing, tree

from dataset.vid.annotations import Frame, Snippet
from dataset.vid.archive import index_split, listing
from dataset.vid.index import SplitIndex, make_index, read_index, write_index
from runtime.errors import UserError

INDEX = make_index("train", tree("train"), [])


def same(one: SplitIndex, other: SplitIndex) -> bool:
    for field in dataclasses.fields(SplitIndex):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if not np.array_equal(a, b) or getattr(a, "dtype", 0) != getattr(b, "dtype", 0):
            return False
    return True


def check_read_again(index: SplitIndex, folder: Path) -> None:
    write_index(folder / "i.npz", index)
    assert same(read_index(folder / "i.npz"), index)


@pytest.mark.parametrize("split", ["train", "val"])
def test_it_gives_what_the_files_say(tmp_path, split):
    root = make_root(tmp_path)
    write_index(tmp_path / "i.npz", index_split(root, split, workers=1))
    index = read_index(tmp_path / "i.npz")
    truth = tree(split)
    assert [(s.split, s.folder, list(s.frames)) for s in index.snippets()] == [
        (split, s.folder, s.frames) for s in truth
    ]
    assert index.listed == listing(root, split)
    assert index.problems == ()
    frames = next(index.snippets()).frames
    assert frames[5] == list(frames)[5]
    with pytest.raises(IndexError):
        frames[6]


@pytest.mark.parametrize("seed", range(6))
def test_select(seed):
    rng = np.random.default_rng(seed)
    keep = 0.0 if seed == 5 else rng.uniform(0.1, 0.9)
    frames, objects = rng.uniform(size=INDEX.frame_count) < keep, rng.uniform(size=len(INDEX.trackids)) < keep
    expected, keep_frame, keep_object = [], iter(frames), iter(objects)
    for snippet in INDEX.snippets():
        kept = []
        for frame in snippet.frames:
            left = tuple(o for o in frame.objects if next(keep_object))
            if next(keep_frame):
                kept.append(dataclasses.replace(frame, objects=left))
        if kept:
            expected.append((snippet.folder, kept))
    selected = INDEX.select(frames, objects)
    assert [(s.folder, list(s.frames)) for s in selected.snippets()] == expected
    assert same(INDEX.select(np.full_like(frames, True), np.full_like(objects, True)), INDEX)


def test_damaged_files(tmp_path, monkeypatch):
    """Damage is reported anywhere except in parts of the zip file without content, such as a date."""
    file, rng = tmp_path / "i.npz", random.Random(0)
    with pytest.raises(UserError, match="no such file"):
        read_index(file)
    write_index(file, INDEX)
    data = file.read_bytes()
    for broken in (b"", b"text", data[:200], data[: len(data) // 2], data[:-1]):
        file.write_bytes(broken)
        with pytest.raises(UserError, match=r"i\.npz: damaged.*--reindex"):
            read_index(file)
    harmless = 0
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        file.write_bytes(changed)
        with contextlib.suppress(UserError):
            assert same(read_index(file), INDEX)
            harmless += 1
    assert harmless < 100
    file.write_bytes(data)
    monkeypatch.setattr("dataset.vid.index.FORMAT", 99)
    with pytest.raises(UserError, match="of another version; run the command index or crop with --reindex"):
        read_index(file)


def test_columns_that_are_cut_short(tmp_path, monkeypatch):
    """NumPy alone would not read to the end of a column, where the checksum is compared."""
    monkeypatch.setattr(np, "savez_compressed", np.savez)
    frames, file = [Frame("val", "s", f"{i:06d}", 10, 20, ()) for i in range(20_000)], tmp_path / "i.npz"
    write_index(file, make_index("val", [Snippet("val", "s", frames)], []))
    assert read_index(file).frame_count == 20_000
    file.write_bytes(file.read_bytes().replace(b"(20000,", b"(10000,"))
    with pytest.raises(UserError, match="damaged"):
        read_index(file)


@pytest.mark.parametrize(
    ("faulty", "number", "old", "new", "kind", "frames", "objects"),
    [
        (1, 2, "</annotation>", "", "malformed XML", 1, 1),
        (1, 2, "<filename>000001<", "<filename>000007<", "another frame's name", 1, 1),
        (1, 2, "<trackid>0<", "<trackid>0.5<", "unusable trackid", 2, 1),
        (1, 2, CATEGORIES[0], CATEGORIES[1], "trackid of another category", 2, 1),  # than the first of equals
        (0, 3, CATEGORIES[0], CATEGORIES[1], "trackid of another category", 3, 2),  # than most
    ],
)
def test_a_fault_costs_its_frame_or_its_object(tmp_path, faulty, number, old, new, kind, frames, objects):
    """The other frames are kept."""
    for i in range(number):
        put_frame(tmp_path, "val", "s", f"{i:06d}", [thing(0, (5, 5, 9, 9))])
    path = edit(annotation(tmp_path, "val", "s", f"{faulty:06d}"), old, new)
    index = index_split(tmp_path, "val", workers=1)
    assert [(problem.file, problem.kind) for problem in index.problems] == [(path, kind)]
    assert (index.frame_count, len(index.trackids)) == (frames, objects)
    check_read_again(index, tmp_path)


@pytest.mark.parametrize(
    ("box", "outside"),
    [
        ((-30, 5, -1, 30), True),
        ((-30, 5, 0, 30), True),  # touches
        ((96, 5, 120, 30), True),
        ((5, 72, 30, 90), True),
        ((5, -20, 30, -3), True),
        ((-30, 5, 1, 30), False),
        ((95, 5, 120, 30), False),
        ((5, 71, 30, 90), False),
        ((-9, -9, 200, 200), False),
    ],
)
def test_boxes_at_the_border(tmp_path, box, outside):
    put_frame(tmp_path, "val", "s", "000000", [thing(3, box), thing(4, (5, 5, 9, 9))])
    index = index_split(tmp_path, "val", workers=1)
    kinds = [problem.kind for problem in index.problems]
    assert kinds == (["box outside the image"] if outside else [])
    assert index.trackids.tolist() == ([4] if outside else [3, 4])


def test_folders_and_names(tmp_path):
    def put(folder: str) -> Path:
        put_frame(tmp_path, "train", folder, "000000", [])
        return annotation(tmp_path, "train", folder, "000000").parent

    sound = put("ILSVRC2015_VID_train_0002/ILSVRC2015_train_00555002")
    unknown = put("ILSVRC2015_VID_train_0004/ILSVRC2015_train_00000001").parent
    twice = put("ILSVRC2015_VID_train_0003/ILSVRC2015_train_00555002")
    hollow = unknown.parent / "ILSVRC2015_VID_train_0000" / "ILSVRC2015_train_00000002"
    hollow.mkdir(parents=True)
    (hollow / "notes.txt").write_text("no annotation")
    for name in (b"00\xff.xml", b"00\n.xml"):
        (sound / name.decode(errors="surrogateescape")).touch()
    (hollow.parent / "\udcfe").mkdir()
    index = index_split(tmp_path, "train", workers=1)
    assert {(problem.file, problem.kind) for problem in index.problems} == {
        (str(unknown), "unknown folder"),
        (str(twice), "a snippet's name twice"),
        (str(hollow), "folder without annotations"),
        (f"{sound}/00\\udcff.xml", "unprintable name"),
        (f"{sound}/00\\n.xml", "unprintable name"),
        (f"{hollow.parent}/\\udcfe", "unprintable name"),
    }
    assert [annotation(tmp_path, f.split, f.folder, f.name).parent for f in index.frames()] == [sound]
    check_read_again(index, tmp_path)


def test_nothing_usable(tmp_path):
    with pytest.raises(UserError, match=r"VID/val: no such folder"):
        index_split(tmp_path, "val", workers=1)
    put_frame(tmp_path, "train", "ILSVRC2015_VID_train_0002/s", "000000", [])
    path = annotation(tmp_path, "train", "ILSVRC2015_VID_train_0002/s", "000000")
    path.write_text("<annotation>")
    with pytest.raises(UserError, match=r"VID/train: no usable \.xml files in it; the first problem: .*malformed XML"):
        index_split(tmp_path, "train", workers=1)
    path.unlink()
    with pytest.raises(UserError, match=r"the first problem: .*no \.xml files in it"):
        index_split(tmp_path, "train", workers=1)
