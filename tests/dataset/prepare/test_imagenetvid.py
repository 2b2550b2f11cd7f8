"""The preparation of ImageNet VID as a user runs it, on a small tree whose objects are known."""

import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.peak_memory import run_measured
from helpers.preparing import curate
from helpers.vid_tree import contents, crop_file, make_root, read_csv, read_episodes, tree
from PIL import Image

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes, load_images
from dataset.vid.episode_sets import object_episodes, random_crop_episodes
from dataset.vid.index import SplitIndex, join, make_index, write_index
from dataset.vid.output_folder import OutputFolder
from dataset.vid.selection import snippet_class, train_rows
from dataset.vid.siamfc_crops import crop_window, cut
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json

SETS = ("easy_val_eval", "train_eval", "val_eval")
EPISODES = 24
TRAIN, VAL = tree("train"), tree("val")


class Prepared:
    """What the two commands made and said."""

    def __init__(self, folder: Path):
        self.root, self.out = make_root(folder / "an archive"), folder / "not there yet" / "the crops"
        words = ("-m", "dataset.prepare.imagenetvid")
        self.crop = command(*words, "crop", "--root", self.root, "--out", self.out, "--workers", 2)
        options = ("--seed", 3, "--episodes", EPISODES, "--workers", 1)
        self.curate = command(*words, "curate", "--out", self.out, *options)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("imagenet vid"))


def test_what_it_says(prepared):
    for done in (prepared.crop, prepared.curate):
        assert (done.returncode, done.stderr) == (0, "")
        assert not [line for line in done.stdout.splitlines() if line != line.rstrip() or len(line) > 160]
    for split, snippets in (("train", TRAIN), ("val", VAL)):
        frames = [frame for snippet in snippets for frame in snippet.frames]
        crops = sum(len(frame.objects) for frame in frames)
        assert f"{split}: {crops} crops of {len(frames)} frames, 0 of them from before\n" in prepared.crop.stdout
        assert f"{split}: nothing was left out\n" in prepared.crop.stdout
        assert (
            f"{split}: read the annotations of {len(snippets)} of {len(snippets)} snippets in" in prepared.crop.stdout
        )
        assert f"{split}: looked at {len(frames)} of {len(frames)} frames in 0:" in prepared.crop.stdout
    assert f"curate --out '{prepared.out}'" in prepared.crop.stdout  # can be pasted, with its spaces
    assert prepared.curate.stdout.endswith(f"{prepared.out}: prepared\n")
    for name in SETS:
        assert f"{name}: {EPISODES} of {EPISODES} episodes" in prepared.curate.stdout


def test_every_object_has_its_crop(prepared):
    frames = [frame for snippet in TRAIN + VAL for frame in snippet.frames]
    expected = {crop_file(frame, o.trackid) for frame in frames for o in frame.objects}
    assert {path.split("/")[1] for path in expected} == set("abcde")
    made = {path for path in contents(prepared.out, ".jpg") if path.endswith(".crop.x.jpg")}
    assert made == expected
    for path in made:
        with Image.open(prepared.out / path) as crop:
            assert (crop.size, crop.format, crop.mode) == ((255, 255), "JPEG", "RGB")
            assert crop.quantization[0][0] == 3  # the luminance table's 16 at quality 90


def test_it_is_a_prepared_data_set(prepared):
    """Whose lists are what is chosen among all objects, and whose random crops show what they should."""
    data = open_prepared(str(prepared.out))
    assert load_images(data.train_csv, data.image_root, check="full").skipped == {}
    rows = read_csv(data.train_csv)
    assert list(rows[0]) == ["identity", "path", "camera", "sequence"]
    assert Counter(tuple(row.values()) for row in rows) == Counter(train_rows(TRAIN))
    easy = random_crop_episodes(VAL, "easy_val_eval", EPISODES, seed=3)
    others = [
        object_episodes(snippets, f"{name}_eval", EPISODES, 3) for snippets, name in ((TRAIN, "train"), (VAL, "val"))
    ]
    assert [each.name for each in find_evaluation_sets(data.folder)] == list(SETS)
    for each, expected in zip(find_evaluation_sets(data.folder), (easy, *others), strict=True):
        assert load_episodes(each.files[0], data.image_root, check="full").skipped == {}
        assert read_episodes(each.files[0]) == expected.episodes
        attributes = read_csv(prepared.out / "episodes" / "attributes" / f"{each.name}.csv")
        for name, values in expected.attributes.items():
            assert [row[name] for row in attributes] == list(map(str, values))
    for path, (frame, box) in easy.random_crops.items():
        with Image.open(prepared.out / path) as seen, Image.open(frame.image_file(prepared.root)) as picture:
            assert np.abs(np.asarray(seen, float) - cut(picture, crop_window(box))).mean() <= 2


def test_statistics(prepared):
    found = read_json(prepared.out / "statistics.json")
    for split, snippets, column in (("train", TRAIN, -2), ("val", VAL, -1)):
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
            "left_out": {},
        }
        assert beyond
        assert shared
        table = [line.split() for line in prepared.curate.stdout.splitlines()]
        assert [row[column] for row in table if row[:1] == ["objects"] and len(row) == 3] == [str(len(objects))]
    assert found["notes"] == []
    assert found["settings"]["seed"] == 3


def test_it_is_curated_again(prepared, tmp_path, capsys):
    """Equal seeds give equal lists; other wishes leave the crops as they are, and a shortfall is told."""
    lists, crops = contents(prepared.out, ".csv", ".json"), contents(prepared.out, ".jpg")
    out = shutil.copytree(prepared.out, tmp_path / prepared.out.name)
    shutil.rmtree(out / "episodes")
    curate(out, "--seed", 3, "--episodes", EPISODES)
    assert contents(out, ".csv", ".json") == lists
    capsys.readouterr()
    curate(out, "--seed", 4, "--episodes", 5000, "--random_crops", 2, "--max_iou", 0.1)
    printed, statistics = capsys.readouterr().out, read_json(out / "statistics.json")
    assert (out / "train.csv").read_bytes() == lists["train.csv"]
    after = contents(out, ".jpg")
    assert {path: after[path] for path in crops} == crops
    for name in SETS:
        episodes = read_episodes(out / "episodes" / f"{name}.csv")
        assert 0 < len(episodes) < 5000
        assert f"note: {name}: {len(episodes)} of 5000 episodes" in printed
        assert any(note.startswith(f"{name}: {len(episodes)} of 5000") for note in statistics["notes"])
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
    """The size that a tenth of ImageNet VID has."""
    out = OutputFolder(tmp_path / "out")
    with out.at_work():
        out.settle(tmp_path, None)
        for split, snippets in (("train", 250), ("val", 84)):
            write_index(out.index_file(split), made_up(split, snippets))
    said, peak = run_measured("dataset.prepare.imagenetvid", "curate", "--out", out.path)
    for name in SETS:
        assert f"{name}: 10,000 of 10,000 episodes" in said
    assert peak < 1000
