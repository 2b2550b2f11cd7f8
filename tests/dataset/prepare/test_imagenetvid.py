"""The preparation of ImageNet VID as a user runs it, on a small tree with known objects and faults."""

import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.peak_memory import run_measured
from helpers.preparing import curate
from helpers.vid_tree import (
    annotation,
    contents,
    crop_file,
    edit,
    make_root,
    picture,
    put_frame,
    read_csv,
    read_episodes,
    thing,
    tree,
)
from PIL import Image

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes, load_images
from dataset.vid.annotations import Snippet
from dataset.vid.episode_sets import object_episodes, random_crop_episodes
from dataset.vid.index import SplitIndex, join, make_index, write_index
from dataset.vid.output_folder import OutputFolder
from dataset.vid.selection import snippet_class, train_rows
from dataset.vid.siamfc_crops import CropSettings, cut
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json, write_json

SETS = ("easy_val_eval", "train_eval", "val_eval")
EPISODES = 24
FIRST, SECOND = "ILSVRC2015_val_00000000", "ILSVRC2015_val_00000001"
THIRD = "ILSVRC2015_VID_train_0001/ILSVRC2015_train_00139000"


def damage(root: Path) -> dict[tuple[str, str, str], tuple[str, str] | None]:
    """Makes faults. Returns (split, file, kind) -> folder and name of the frame that is lost, or None.

    Faults of annotations have their own tests elsewhere; all faults of pictures are here.
    """
    annotations = [annotation(root, "val", FIRST, f"00000{i}") for i in range(3)]
    annotations[0].write_text(annotations[0].read_text()[:-30])
    objects = tree("val")[0].frames[1].objects
    put_frame(root, "val", FIRST, "000001", [*objects, thing(9, (200, 10, 230, 40))])
    annotations[2].unlink()
    width = annotation(root, "train", THIRD, "000004")
    edit(width, "<width>96<", "<width>wide<")
    gone, cut_short, empty, small = (picture(root, "val", SECOND, f"00000{i}") for i in range(4))
    nothing = picture(root, "val", "ILSVRC2015_val_00010000", "000000")  # a frame without objects
    gone.unlink()
    nothing.unlink()
    cut_short.write_bytes(cut_short.read_bytes()[:1500])
    empty.write_bytes(b"")
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(small, "JPEG")
    pictures = picture(root, "val", FIRST, "000002").parent
    (pictures / "caf\udce9.JPEG").touch()  # not UTF-8
    unknown = pictures.parent / "ILSVRC2015_val_00077000"
    unknown.mkdir()
    (unknown / "000000.JPEG").touch()
    strange = root / "Annotations" / "VID" / "train" / "ILSVRC2015_VID_train_0007"
    (strange / "ILSVRC2015_train_00000009").mkdir(parents=True)
    return {
        ("val", str(annotations[0]), "malformed XML"): (FIRST, "000000"),
        ("val", str(annotations[1]), "box outside the image"): None,
        ("val", str(pictures / "000002.JPEG"), "no annotation"): (FIRST, "000002"),
        ("val", f"{pictures}/caf\\udce9.JPEG", "no annotation"): None,
        ("val", str(unknown), "no annotation"): None,
        ("val", str(gone), "no JPEG"): (SECOND, "000000"),
        ("val", str(nothing), "no JPEG"): ("ILSVRC2015_val_00010000", "000000"),
        ("val", str(cut_short), "unreadable JPEG"): (SECOND, "000001"),
        ("val", str(empty), "unreadable JPEG"): (SECOND, "000002"),
        ("val", str(small), "image of another size than annotated"): (SECOND, "000003"),
        ("train", str(width), "unusable width"): (THIRD, "000004"),
        ("train", str(strange), "unknown folder"): None,
    }


class Prepared:
    """The results and outputs of both commands on a tree with faults; `train` and `val` are the intact frames."""

    def __init__(self, folder: Path):
        self.root, self.out = make_root(folder / "an archive"), folder / "not there yet" / "the crops"
        self.faults = damage(self.root)
        lost = self.faults.values()
        self.train, self.val = (
            [Snippet(split, s.folder, [f for f in s.frames if (s.folder, f.name) not in lost]) for s in tree(split)]
            for split in ("train", "val")
        )
        words = ("-m", "dataset.prepare.imagenetvid")
        self.crop = command(*words, "crop", "--root", self.root, "--out", self.out, "--workers", 2)
        options = ("--seed", 3, "--episodes", EPISODES, "--workers", 1)
        self.curate = command(*words, "curate", "--out", self.out, *options)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("imagenet vid"))


def test_printed_lines(prepared):
    for done in (prepared.crop, prepared.curate):
        assert (done.returncode, done.stderr) == (0, "")
        for line in done.stdout.splitlines():
            assert line == line.rstrip()
            assert len(line) <= 160 or line.startswith("    /")  # a problem
    frames = [frame for snippet in prepared.train for frame in snippet.frames]
    crops = sum(len(frame.objects) for frame in frames)
    assert f"train: {crops} crops of {len(frames)} frames, 0 of them existed before\n" in prepared.crop.stdout
    assert "train: read the annotations of 4 of 4 snippets in" in prepared.crop.stdout
    assert f"train: processed {len(frames)} of {len(frames)} frames in 0:" in prepared.crop.stdout
    assert f"curate --out '{prepared.out}'" in prepared.crop.stdout  # can be pasted, with its spaces
    assert prepared.curate.stdout.endswith(f"{prepared.out}: prepared\n")
    for name in SETS:
        assert f"{name}: {EPISODES} of {EPISODES} episodes" in prepared.curate.stdout


def test_each_fault_is_listed_with_its_file_and_counted(prepared):
    listed = set()
    for split in ("train", "val"):
        rows = read_csv(prepared.out / f"problems_{split}.csv")
        assert all(row["problem"] for row in rows)
        listed |= {(split, row["file"], row["kind"]) for row in rows}
        kinds = [row["kind"] for row in rows]
        for kind in kinds:
            assert f"  {kind}: {kinds.count(kind)}\n" in prepared.crop.stdout
            (line,) = [line for line in prepared.curate.stdout.splitlines() if line.startswith(f"  {kind}  ")]
            assert str(kinds.count(kind)) in line.split()
    assert listed == set(prepared.faults)
    for _, file, _ in prepared.faults:
        assert f"    {file}: " in prepared.crop.stdout


def test_every_usable_object_has_a_crop(prepared):
    frames = [frame for snippet in prepared.train + prepared.val for frame in snippet.frames]
    expected = {crop_file(frame, o.trackid) for frame in frames for o in frame.objects}
    assert {path.split("/")[1] for path in expected} == set("abcde")
    made = {path for path in contents(prepared.out, ".jpg") if path.endswith(".crop.x.jpg")}
    assert made == expected
    for path in made:
        with Image.open(prepared.out / path) as crop:
            assert (crop.size, crop.format, crop.mode) == ((255, 255), "JPEG", "RGB")
            assert crop.quantization[0][0] == 3  # the luminance table's 16 at quality 90


def test_it_is_a_prepared_data_set(prepared):
    """Its lists are those selected from all usable objects, and its random crops show the right windows."""
    data = open_prepared(str(prepared.out))
    assert load_images(data.train_csv, data.image_root, check="full").skipped == {}
    rows = read_csv(data.train_csv)
    assert list(rows[0]) == ["identity", "path", "camera", "sequence"]
    assert Counter(tuple(row.values()) for row in rows) == Counter(train_rows(prepared.train))
    easy = random_crop_episodes(prepared.val, "easy_val_eval", EPISODES, seed=3)
    train = object_episodes(prepared.train, "train_eval", EPISODES, seed=3)
    val = object_episodes(prepared.val, "val_eval", EPISODES, seed=3)
    assert [each.name for each in find_evaluation_sets(data.folder)] == list(SETS)
    for each, expected in zip(find_evaluation_sets(data.folder), (easy, train, val), strict=True):
        assert load_episodes(each.files[0], data.image_root, check="full").skipped == {}
        assert read_episodes(each.files[0]) == expected.episodes
        attributes = read_csv(prepared.out / "episodes" / "attributes" / f"{each.name}.csv")
        for name, values in expected.attributes.items():
            assert [row[name] for row in attributes] == list(map(str, values))
    for path, (frame, box) in easy.random_crops.items():
        with Image.open(prepared.out / path) as seen, Image.open(frame.image_file(prepared.root)) as picture:
            assert np.abs(np.asarray(seen, float) - cut(picture, CropSettings().window(box))).mean() <= 2


def test_statistics(prepared):
    found = read_json(prepared.out / "statistics.json")
    for split, snippets, column in (("train", prepared.train, -2), ("val", prepared.val, -1)):
        frames = [frame for snippet in snippets for frame in snippet.frames]
        objects = [(frame, o) for frame in frames for o in frame.objects]
        tracks = {(frame.snippet, o.trackid): o.category for frame, o in objects}
        classes = [snippet_class(snippet) for snippet in snippets]
        categories = {}
        for category in set(tracks.values()):
            of = [(frame, o) for frame, o in objects if o.category == category]
            categories[category] = {
                "snippets": len({frame.snippet for frame, _ in of}),
                "tracks": list(tracks.values()).count(category),
                "objects": len(of),
                "occluded": sum(o.occluded for _, o in of),
            }
        beyond = [o for f, o in objects if min(o.box) < 0 or o.xmax > f.width or o.ymax > f.height]
        shared = [number for number in Counter(trackid for _, trackid in tracks).values() if number > 1]
        assert found["splits"][split] == {
            "snippets": len(snippets),
            "frames": len(frames),
            "objects": len(objects),
            "tracks": len(tracks),
            "snippet_classes": {
                kind: classes.count(kind) for kind in ("missing_bbox", "single_bboxes", "multiple_bboxes")
            },
            "objects_per_frame": Counter(str(len(frame.objects)) for frame in frames),
            "categories": categories,
            "occluded_objects": sum(o.occluded for _, o in objects),
            "generated_boxes": sum(o.generated for _, o in objects),
            "boxes_beyond_the_frame": len(beyond),
            "trackids_of_several_snippets": len(shared),
            "left_out": Counter(kind for of, _, kind in prepared.faults if of == split),
        }
        assert beyond
        assert shared
        table = [line.split() for line in prepared.curate.stdout.splitlines()]
        assert [row[column] for row in table if row[:1] == ["objects"] and len(row) == 3] == [str(len(objects))]
    assert found["notes"] == []
    assert found["settings"]["seed"] == 3


def test_it_is_curated_again(prepared, tmp_path, capsys):
    """Other options change neither crops nor the training list, and too few episodes are reported."""
    crops = contents(prepared.out, ".jpg")
    out = shutil.copytree(prepared.out, tmp_path / "out")
    curate(out, "--seed", 4, "--episodes", 5000, "--random_crops", 2, "--max_iou", 0.1)
    printed, statistics = capsys.readouterr().out, read_json(out / "statistics.json")
    assert (out / "train.csv").read_bytes() == (prepared.out / "train.csv").read_bytes()
    after = contents(out, ".jpg")
    assert {path: after[path] for path in crops} == crops
    for name in SETS:
        episodes = read_episodes(out / "episodes" / f"{name}.csv")
        assert 0 < len(episodes) < 5000
        assert f"note: {name}: only {len(episodes)} of 5,000 episodes" in printed
        assert any(note.startswith(f"{name}: only {len(episodes)} of 5,000") for note in statistics["notes"])
        assert statistics["sets"][name]["episodes"] == len(episodes)
        if name == "easy_val_eval":
            assert {len(negatives) for *_, negatives in episodes} == {2}
            assert {path for *_, negatives in episodes for path in negatives} == set(after) - set(crops)


def made_up(split: str, snippets: int) -> SplitIndex:
    """The index of some videos of 300 frames with three or four objects in each."""
    part = make_index(split, tree(split, repeat=50)[:1], [])
    stem = part.folders[0][:-8].decode()
    return join([dataclasses.replace(part, folders=np.array([f"{stem}{i:08d}".encode()])) for i in range(snippets)])


@pytest.mark.slow
def test_curation_of_100_000_frames_stays_below_1_gb(tmp_path):
    """That is the size of a tenth of ImageNet VID."""
    out = OutputFolder(tmp_path / "out")
    with out.at_work():
        write_json(out.settings_json, out.agreed(tmp_path, None))
        for split, snippets in (("train", 250), ("val", 84)):
            write_index(out.index_file(split), made_up(split, snippets))
    said, peak = run_measured("dataset.prepare.imagenetvid", "curate", "--out", out.path)
    for name in SETS:
        assert f"{name}: 10,000 of 10,000 episodes" in said
    assert peak < 1000
