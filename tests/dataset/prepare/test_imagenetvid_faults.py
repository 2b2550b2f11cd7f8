"""Whatever is wrong with single files is told with its name, counted and left out; the run ends with a summary."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.preparing import crop, curate, imagenetvid
from helpers.vid_tree import Object, annotation, contents, edit, make_root, picture, put_frame, read_csv, read_episodes
from PIL import Image

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes, load_images
from model.evaluation.sets import find_evaluation_sets

FIRST, SECOND = "ILSVRC2015_val_00000000", "ILSVRC2015_val_00000001"
TRAIN = "ILSVRC2015_VID_train_0001/ILSVRC2015_train_00139000"


def spoil(root: Path) -> dict[str, tuple[str, str, set[str]]]:
    """Makes one fault of every kind. Returns for each file its split, the kind, and the crops that must not be there.

    A crop is named as <snippet>/<frame>. for all of a frame, and <snippet>/<frame>.<trackid>. for one object.
    """
    xml = {i: annotation(root, "val", FIRST, f"00000{i}") for i in range(6)}
    faults: dict[str, tuple[str, str, set[str]]] = {}

    def fault(file: Path, kind: str, *crops: str, split: str = "val") -> None:
        faults[str(file)] = (split, kind, set(crops))

    xml[0].write_text(xml[0].read_text()[:-30])
    fault(xml[0], "malformed XML", f"{FIRST}/000000.")
    xml[1].write_bytes(b"")
    fault(xml[1], "malformed XML", f"{FIRST}/000001.")
    outside, inside, beyond = (200, 10, 230, 40), (5, 5, 30, 30), (-9, 1, 9, 20)
    put_frame(root, "val", FIRST, "000002", [Object(0, outside), Object(1, inside), Object(2, beyond)])
    fault(xml[2], "box outside the image", f"{FIRST}/000002.00.")
    put_frame(root, "val", FIRST, "000003", [Object(0, (10, -40, 30, 0)), Object(1, inside)])  # touches it
    fault(xml[3], "box outside the image", f"{FIRST}/000003.00.")
    put_frame(root, "val", FIRST, "000004", [Object(0, (5, 5, 30, 30)), Object(1, (40, 5, 70, 30))])
    edit(xml[4], "\t\t<occluded>0</occluded>\n", "")
    fault(xml[4], "no occluded", f"{FIRST}/000004.00.")
    put_frame(root, "val", FIRST, "000005", [Object(0, (5, 5, 30, 30)), Object(99999999999999999999, (40, 5, 70, 30))])
    fault(xml[5], "unusable trackid", f"{FIRST}/000005.99")

    gone, cut, empty, small = (picture(root, "val", SECOND, f"00000{i}") for i in range(4))
    gone.unlink()
    fault(gone, "no JPEG", f"{SECOND}/000000.")
    cut.write_bytes(cut.read_bytes()[:1500])
    fault(cut, "unreadable JPEG", f"{SECOND}/000001.")
    empty.write_bytes(b"")
    fault(empty, "unreadable JPEG", f"{SECOND}/000002.")
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(small, "JPEG")
    fault(small, "image of another size than annotated", f"{SECOND}/000003.")
    nothing = picture(root, "val", "ILSVRC2015_val_00010000", "000000")  # a frame without objects
    nothing.unlink()
    fault(nothing, "no JPEG")

    train = annotation(root, "train", TRAIN, "000002")
    objects = [Object(i, (5, 5, 30, 30), "n02691156") for i in range(6)]
    put_frame(root, "train", TRAIN, "000002", [*objects, Object(7, (3, 3, 3, 9))])
    edit(annotation(root, "train", TRAIN, "000004"), "<width>96<", "<width>wide<")
    fault(annotation(root, "train", TRAIN, "000004"), "unusable width", "139000/000004.", split="train")
    fault(train, "empty box", "139000/000002.07.", split="train")
    strange = root / "Annotations" / "VID" / "train" / "ILSVRC2015_VID_train_0007"
    (strange / "ILSVRC2015_train_00000009").mkdir(parents=True)
    fault(strange, "unknown folder", split="train")
    hollow = strange.parent / "ILSVRC2015_VID_train_0000" / "ILSVRC2015_train_00000001"
    hollow.mkdir()
    fault(hollow, "folder without annotations", split="train")
    return faults


class Spoilt:
    """A tree with faults, and what the commands said of it."""

    def __init__(self, folder: Path):
        self.root, self.out = make_root(folder / "root"), folder / "out"
        self.faults = spoil(self.root)
        words = ("-m", "dataset.prepare.imagenetvid")
        self.crop = command(*words, "crop", "--root", self.root, "--out", self.out, "--workers", 2)
        self.curate = command(*words, "curate", "--out", self.out, "--episodes", 500, "--workers", 1)
        for done in (self.crop, self.curate):
            assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory) -> Spoilt:
    return Spoilt(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def root(tmp_path) -> Path:
    return make_root(tmp_path / "root")


def test_each_fault_is_listed_with_its_file(spoilt):
    listed = {
        (row["file"], split, row["kind"]): row["problem"]
        for split in ("train", "val")
        for row in read_csv(spoilt.out / f"problems_{split}.csv")
    }
    assert {(file, split, kind) for file, (split, kind, _) in spoilt.faults.items()} <= set(listed)
    others = {key for key in listed if key[0] not in spoilt.faults}
    assert {kind for *_, kind in others} <= {"trackid of another category"}  # from the frame of airplanes
    assert all(listed.values())


def test_each_kind_is_counted(spoilt):
    statistics = json.loads((spoilt.out / "statistics.json").read_text())["splits"]
    for split in ("train", "val"):
        kinds = [row["kind"] for row in read_csv(spoilt.out / f"problems_{split}.csv")]
        assert statistics[split]["left_out"] == {kind: kinds.count(kind) for kind in kinds}
        for kind in kinds:
            assert f"  {kind}: {kinds.count(kind)}\n" in spoilt.crop.stdout
            (line,) = [line for line in spoilt.curate.stdout.splitlines() if line.startswith(f"  {kind}  ")]
            assert str(kinds.count(kind)) in line.split()
    for file in spoilt.faults:
        assert f"    {file}: " in spoilt.crop.stdout


def test_what_is_faulty_has_no_crop_and_the_rest_has(spoilt):
    crops = [path for path in contents(spoilt.out, ".jpg") if path.endswith(".crop.x.jpg")]
    for _, kind, bad in spoilt.faults.values():
        for name in bad:
            assert not [path for path in crops if name in path], (kind, name)
    made = {path.removeprefix(f"crops/e/{FIRST}/") for path in crops if FIRST in path}
    # A box that only reaches beyond the image is no fault.
    assert made == {f"{name}.crop.x.jpg" for name in ("000002.01", "000002.02", "000003.01", "000004.01", "000005.00")}
    assert {path.split("/")[-1][:6] for path in crops if SECOND in path} == {"000004", "000005"}


def test_no_list_refers_to_what_is_faulty(spoilt):
    data = open_prepared(str(spoilt.out))
    load_images(data.train_csv, data.image_root, check="full")
    for each in find_evaluation_sets(data.folder):
        load_episodes(each.files[0], data.image_root, check="full")
    paths = [row["path"] for row in read_csv(data.train_csv)]
    for each in find_evaluation_sets(data.folder):
        for anchor, positive, negatives in read_episodes(each.files[0]):
            paths += [anchor, positive, *negatives]
    bad = [name for *_, names in spoilt.faults.values() for name in names]
    assert not [path for path in paths if any(name in path for name in bad)]
    assert paths


def test_reused_trackids_are_kept_apart(spoilt):
    rows = read_csv(spoilt.out / "train.csv")
    snippets = {row["identity"]: row["path"].split("/")[2] for row in rows}
    assert all(identity.split("/")[0] == snippet for identity, snippet in snippets.items())
    numbers = [identity.split("/")[1] for identity in snippets]
    assert len(set(numbers)) < len(numbers)
    (line,) = [line for line in spoilt.curate.stdout.splitlines() if line.startswith("track ids that several")]
    assert min(map(int, line.split()[-2:])) > 0


def test_small_objects_are_left_out_and_counted(tmp_path, capsys):
    root, out = tmp_path / "root", tmp_path / "out"
    for i in range(4):
        objects = [Object(0, (5, 5, 30, 30)), Object(1, (40, 5, 49.5, 40)), Object(2, (50, 5, 60, 15))]
        put_frame(root, "val", FIRST, f"{i:06d}", objects)
    crop(root, out, "--min_box=10", "--search_size=63", "--exemplar_size=31", "--quality=50")
    curate(out, "--episodes=5")
    printed = capsys.readouterr().out
    assert "left out as asked: box below 10 pixels: 4" in printed
    assert "nothing else was left out" in printed
    assert json.loads((out / "crops_val.json").read_text())["left_out"] == {"box below 10 pixels": 4}
    crops = {path for path in contents(out, ".jpg") if path.endswith(".crop.x.jpg")}
    assert crops == {f"crops/e/{FIRST}/{i:06d}.{trackid}.crop.x.jpg" for i in range(4) for trackid in ("00", "02")}
    for path in contents(out, ".jpg"):
        with Image.open(out / path) as image:
            assert (image.size, image.quantization[0][0]) == ((63, 63), 16)  # quality 50: the table itself
    statistics = json.loads((out / "statistics.json").read_text())
    assert statistics["splits"]["val"]["objects_per_frame"] == {"2": 4}
    assert statistics["splits"]["val"]["left_out"] == {"box below 10 pixels": 4}
    assert "val_eval: 0 of 5 episodes" in printed  # only two candidates
    assert [each.name for each in find_evaluation_sets(open_prepared(str(out)).folder)] == ["easy_val_eval"]
    assert "train: its annotations have not been read, so that there is no train.csv and train_eval" in printed


def test_pictures_without_annotations_are_told(root, tmp_path, capsys):
    out = tmp_path / "out"
    annotation(root, "val", FIRST, "000002").unlink()
    annotation(root, "train", TRAIN, "000001").unlink()
    unknown = picture(root, "val", "ILSVRC2015_val_00077000", "000000")
    unknown.parent.mkdir()
    frame = picture(root, "val", FIRST, "000000")
    unknown.write_bytes(frame.read_bytes())
    strange = os.fsencode(frame.parent) + b"/caf\xe9.JPEG"  # no text
    os.link(frame, strange)
    crop(root, out)
    for split, files in (
        ("val", [str(picture(root, "val", FIRST, "000002")), str(unknown.parent), f"{frame.parent}/caf\\udce9.JPEG"]),
        ("train", [str(picture(root, "train", TRAIN, "000001"))]),
    ):
        rows = read_csv(out / f"problems_{split}.csv")
        assert sorted(row["file"] for row in rows) == sorted(files)
        assert {row["kind"] for row in rows} == {"no annotation"}
        assert json.loads((out / f"crops_{split}.json").read_text())["left_out"] == {"no annotation": len(files)}
    assert "no annotation: 3" in capsys.readouterr().out


def test_one_slip_in_a_category_costs_one_object(root, tmp_path):
    name = edit(annotation(root, "val", SECOND, "000000"), "<name>n0", "<name>n9")
    imagenetvid("index", tmp_path / "out", "--root", root, "--split=val")
    rows = read_csv(tmp_path / "out" / "problems_val.csv")
    assert [(row["file"], row["kind"]) for row in rows] == [(name, "trackid of another category")]


def test_a_quotation_is_cut_short(root, tmp_path):
    edit(annotation(root, "val", FIRST, "000000"), "<xmin>", "<xmin>" + "x" * 20_000)
    imagenetvid("index", tmp_path / "out", "--root", root, "--split=val")
    (row,) = read_csv(tmp_path / "out" / "problems_val.csv")
    assert len(row["problem"]) <= 350
