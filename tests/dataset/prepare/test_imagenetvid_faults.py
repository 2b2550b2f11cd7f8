"""Whatever is wrong with single files is told with its name, counted and left out; the run ends with a summary."""

from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.preparing import crop, curate
from helpers.vid_tree import (
    annotation,
    contents,
    edit,
    make_root,
    picture,
    put_frame,
    read_csv,
    read_episodes,
    thing,
)
from PIL import Image

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes, load_images
from dataset.vid.siamfc_crops import CropSettings, cut
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json

FIRST, SECOND = "ILSVRC2015_val_00000000", "ILSVRC2015_val_00000001"
TRAIN = "ILSVRC2015_VID_train_0001/ILSVRC2015_train_00139000"


def spoil(root: Path) -> dict[tuple[str, str, str], str]:
    """Makes faults: (split, file, kind) -> how the paths of the crops that must not be there begin, if any would be.

    The faults of annotations are tested one by one elsewhere; each of the pictures' is here.
    """
    malformed, outside = (annotation(root, "val", FIRST, f"00000{i}") for i in range(2))
    malformed.write_text(malformed.read_text()[:-30])
    inside, beyond = thing(2, (5, 5, 30, 30)), thing(4, (-9, 1, 9, 20))
    put_frame(root, "val", FIRST, "000001", [thing(0, (200, 10, 230, 40)), inside, beyond])
    width = annotation(root, "train", TRAIN, "000004")
    edit(width, "<width>96<", "<width>wide<")
    gone, cut, empty, small = (picture(root, "val", SECOND, f"00000{i}") for i in range(4))
    nothing = picture(root, "val", "ILSVRC2015_val_00010000", "000000")  # a frame without objects
    gone.unlink()
    nothing.unlink()
    cut.write_bytes(cut.read_bytes()[:1500])
    empty.write_bytes(b"")
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(small, "JPEG")
    bare = picture(root, "val", FIRST, "000002"), picture(root, "train", TRAIN, "000001")
    annotation(root, "val", FIRST, "000002").unlink()
    annotation(root, "train", TRAIN, "000001").unlink()
    unknown = picture(root, "val", "ILSVRC2015_val_00077000", "000000")
    unknown.parent.mkdir()
    (root / "Data" / "VID" / "val" / FIRST / "caf\udce9.JPEG").touch()  # no text
    strange = root / "Annotations" / "VID" / "train" / "ILSVRC2015_VID_train_0007"
    (strange / "ILSVRC2015_train_00000009").mkdir(parents=True)
    return {
        ("val", str(malformed), "malformed XML"): f"crops/e/{FIRST}/000000.",
        ("val", str(outside), "box outside the image"): f"crops/e/{FIRST}/000001.00.",
        ("val", str(gone), "no JPEG"): f"crops/e/{SECOND}/000000.",
        ("val", str(nothing), "no JPEG"): "",
        ("val", str(cut), "unreadable JPEG"): f"crops/e/{SECOND}/000001.",
        ("val", str(empty), "unreadable JPEG"): f"crops/e/{SECOND}/000002.",
        ("val", str(small), "image of another size than annotated"): f"crops/e/{SECOND}/000003.",
        ("val", str(bare[0]), "no annotation"): f"crops/e/{FIRST}/000002.",
        ("train", str(bare[1]), "no annotation"): f"crops/b/{TRAIN.rpartition('/')[2]}/000001.",
        ("val", str(unknown.parent), "no annotation"): "",
        ("val", f"{bare[0].parent}/caf\\udce9.JPEG", "no annotation"): "",
        ("train", str(width), "unusable width"): f"crops/b/{TRAIN.rpartition('/')[2]}/000004.",
        ("train", str(strange), "unknown folder"): "",
    }


class Spoilt:
    """A tree with faults, and what the commands said of it."""

    def __init__(self, folder: Path):
        self.root, self.out = make_root(folder / "root"), folder / "out"
        self.faults = spoil(self.root)
        self.bad = tuple(start for start in self.faults.values() if start)
        words = ("-m", "dataset.prepare.imagenetvid")
        self.crop = command(*words, "crop", "--root", self.root, "--out", self.out, "--workers", 2)
        self.curate = command(*words, "curate", "--out", self.out, "--episodes", 500, "--workers", 1)
        for done in (self.crop, self.curate):
            assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory) -> Spoilt:
    return Spoilt(tmp_path_factory.mktemp("faults"))


def test_each_fault_is_listed_with_its_file_and_counted(spoilt):
    statistics, listed = read_json(spoilt.out / "statistics.json")["splits"], set()
    for split in ("train", "val"):
        rows = read_csv(spoilt.out / f"problems_{split}.csv")
        assert all(row["problem"] for row in rows)
        listed |= {(split, row["file"], row["kind"]) for row in rows}
        kinds = [row["kind"] for row in rows]
        assert statistics[split]["left_out"] == {kind: kinds.count(kind) for kind in kinds}
        for kind in kinds:
            assert f"  {kind}: {kinds.count(kind)}\n" in spoilt.crop.stdout
            (line,) = [line for line in spoilt.curate.stdout.splitlines() if line.startswith(f"  {kind}  ")]
            assert str(kinds.count(kind)) in line.split()
    assert listed == set(spoilt.faults)
    for _, file, _ in spoilt.faults:
        assert f"    {file}: " in spoilt.crop.stdout


def test_what_is_faulty_has_no_crop_and_is_in_no_list(spoilt):
    crops = [path for path in contents(spoilt.out, ".jpg") if path.endswith(".crop.x.jpg")]
    assert not [path for path in crops if path.startswith(spoilt.bad)]
    # The rest has: a box that only reaches beyond the image is no fault.
    for name in (f"{FIRST}/000001.02", f"{FIRST}/000001.04", f"{SECOND}/000004.02"):
        assert f"crops/e/{name}.crop.x.jpg" in crops
    data = open_prepared(str(spoilt.out))
    assert load_images(data.train_csv, data.image_root, check="full").skipped == {}
    paths = [row["path"] for row in read_csv(data.train_csv)]
    for each in find_evaluation_sets(data.folder):
        assert load_episodes(each.files[0], data.image_root, check="full").skipped == {}
        for anchor, positive, negatives in read_episodes(each.files[0]):
            paths += [anchor, positive, *negatives]
    assert not [path for path in paths if path.startswith(spoilt.bad)]


def test_crops_of_another_kind(tmp_path, capsys):
    """Small objects are left out as asked; the others follow the same formula with other numbers."""
    root, out = tmp_path / "root", tmp_path / "out"
    for i in range(4):
        objects = [thing(0, (5, 5, 30, 30)), thing(1, (40, 5, 49, 40)), thing(2, (50, 5, 60, 15))]
        put_frame(root, "val", FIRST, f"{i:06d}", objects)
    crop(root, out, "--min_box=10", "--search_size=63", "--exemplar_size=31", "--quality=100", "--context=0.25")
    curate(out, "--episodes=5")
    printed = capsys.readouterr().out
    assert "left out as asked: box below 10 pixels: 4" in printed
    assert "nothing else was left out" in printed
    assert read_json(out / "crops_val.json")["left_out"] == {"box below 10 pixels": 4}
    crops = {path for path in contents(out, ".jpg") if path.endswith(".crop.x.jpg")}
    assert crops == {f"crops/e/{FIRST}/{i:06d}.{trackid}.crop.x.jpg" for i in range(4) for trackid in ("00", "02")}
    for path in contents(out, ".jpg"):
        with Image.open(out / path) as image:
            assert (image.size, image.quantization[0][0]) == ((63, 63), 1)  # quality 100: all steps are 1
    with Image.open(picture(root, "val", FIRST, "000000")) as frame, Image.open(out / min(crops)) as seen:
        expected = cut(frame, CropSettings(context=0.25, exemplar=31, search=63).window((5, 5, 30, 30)), 63)
        # In grey: JPEG halves the size of the colours.
        assert np.abs(np.asarray(seen.convert("L"), float) - np.asarray(expected.convert("L"))).mean() <= 1
    statistics = read_json(out / "statistics.json")["splits"]["val"]
    assert (statistics["objects_per_frame"], statistics["left_out"]) == ({"2": 4}, {"box below 10 pixels": 4})
    assert "val_eval: 0 of 5 episodes" in printed  # only two candidates
    assert [each.name for each in find_evaluation_sets(open_prepared(str(out)).folder)] == ["easy_val_eval"]
    assert "train: its annotations have not been read, so that there is no train.csv and train_eval" in printed
