"""The preparation of ImageNet VID as a user runs it, on a small tree: every rule is checked from the XML files."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from helpers.commands import command
from helpers.preparing import curate
from helpers.vid_tree import contents, make_root, read_csv, read_episodes, read_root, snippet_class
from PIL import Image

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes, load_images
from model.evaluation.sets import find_evaluation_sets

SETS = ("easy_val_eval", "train_eval", "val_eval")
EPISODES = 24


class Prepared:
    """What the two commands made and said."""

    def __init__(self, folder: Path):
        self.root, self.out = make_root(folder / "an archive"), folder / "not there yet" / "the crops"
        words = ("-m", "dataset.prepare.imagenetvid")
        self.crop = command(*words, "crop", "--root", self.root, "--out", self.out, "--workers", 2)
        options = ("--seed", 3, "--episodes", EPISODES, "--workers", 1)
        self.curate = command(*words, "curate", "--out", self.out, *options)
        self.frames = read_root(self.root)

    def of(self, path: str):
        """The frame, track id and kind of a crop's path."""
        _, _, snippet, file = path.split("/")
        name, trackid, kind = file.removesuffix(".jpg").split(".", 2)
        return self.frames[snippet, name], int(trackid), kind

    def classes(self, split: str) -> dict[str, str]:
        snippets: dict[str, list] = {}
        for frame in self.frames.values():
            if frame.split == split:
                snippets.setdefault(frame.snippet, []).append(frame)
        return {name: snippet_class(frames) for name, frames in snippets.items()}

    def episodes(self, name: str) -> list[tuple[str, str, list[str]]]:
        return read_episodes(self.out / "episodes" / f"{name}.csv")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("imagenet vid"))


def test_what_it_says(prepared):
    for done in (prepared.crop, prepared.curate):
        assert (done.returncode, done.stderr) == (0, "")
        assert not [line for line in done.stdout.splitlines() if line != line.rstrip() or len(line) > 160]
    for split in ("train", "val"):
        frames = [frame for frame in prepared.frames.values() if frame.split == split]
        crops = sum(len(frame.objects) for frame in frames)
        assert f"{split}: {crops} crops of {len(frames)} frames, 0 of them from before\n" in prepared.crop.stdout
        assert f"{split}: nothing was left out\n" in prepared.crop.stdout
        assert f"{split}: looked at {len(frames)} of {len(frames)} frames in 0:" in prepared.crop.stdout
    assert f"curate --out '{prepared.out}'" in prepared.crop.stdout  # can be pasted, with its spaces
    assert prepared.curate.stdout.endswith(f"{prepared.out}: prepared\n")
    for name in SETS:
        assert f"{name}: {EPISODES} of {EPISODES} episodes" in prepared.curate.stdout


def test_every_object_has_its_crop(prepared):
    expected = {frame.crop(trackid) for frame in prepared.frames.values() for trackid in frame.objects}
    assert {path.split("/")[1] for path in expected} == set("abcde")
    made = {path for path in contents(prepared.out, ".jpg") if path.endswith(".crop.x.jpg")}
    assert made == expected
    for path in made:
        with Image.open(prepared.out / path) as crop:
            assert (crop.size, crop.format, crop.mode) == ((255, 255), "JPEG", "RGB")
            assert crop.quantization[0][0] == 3  # the luminance table's 16 at quality 90


def test_it_is_a_prepared_data_set(prepared):
    data = open_prepared(str(prepared.out))
    assert [each.name for each in find_evaluation_sets(data.folder)] == list(SETS)
    images = load_images(data.train_csv, data.image_root, check="full")
    assert images.skipped == {}
    assert set(images.manifest.sequences) == set(prepared.classes("train"))
    for each in find_evaluation_sets(data.folder):
        loaded = load_episodes(each.files[0], data.image_root, check="full")
        assert (len(loaded.episodes), loaded.skipped) == (EPISODES, {})


def test_training_list(prepared):
    expected = Counter()
    seen: dict[tuple[str, int], list[str]] = {}
    for frame in prepared.frames.values():
        for trackid, o in frame.objects.items():
            if frame.split == "train" and not o.occluded:
                seen.setdefault((frame.snippet, trackid), []).append(frame.crop(trackid))
    for (snippet, trackid), paths in seen.items():
        if len(paths) > 1:
            expected.update((f"{snippet}/{trackid}", path, "", snippet) for path in paths)
    rows = read_csv(prepared.out / "train.csv")
    assert Counter(tuple(row.values()) for row in rows) == expected
    assert list(rows[0]) == ["identity", "path", "camera", "sequence"]


@pytest.mark.parametrize("name", SETS)
def test_episodes_and_their_attributes(prepared, name):
    easy, used = name == "easy_val_eval", []
    rows = read_csv(prepared.out / "episodes" / "attributes" / f"{name}.csv")
    for row, (anchor, positive, negatives) in zip(rows, prepared.episodes(name), strict=True):
        (first, trackid, kind), (second, other, other_kind) = prepared.of(anchor), prepared.of(positive)
        assert kind == other_kind == "crop.x"
        assert trackid == other
        assert first.snippet == second.snippet
        assert first.name != second.name
        assert not first.objects[trackid].occluded
        assert not second.objects[trackid].occluded
        if easy:  # random crops of the second frame
            assert len(set(negatives)) == 5
            for frame, of_object, kind in map(prepared.of, negatives):
                assert (frame, of_object, kind[:6]) == (second, trackid, "random")
        else:  # its other objects
            assert len(second.objects) >= 3
            assert sorted(negatives) == sorted(second.crop(other) for other in second.objects if other != trackid)
        gap = abs(int(first.name) - int(second.name))
        expected = {"snippet": first.snippet, "category": first.objects[trackid].category, "gap": str(gap)}
        assert {key: row[key] for key in expected} == expected
        used.append(second.snippet)

    # Every snippet that can be used is used equally often, in turns.
    classes = prepared.classes("train" if name == "train_eval" else "val")
    wanted = {"single_bboxes", "multiple_bboxes"} if easy else {"multiple_bboxes"}
    able = {snippet for snippet, kind in classes.items() if kind in wanted}
    counts = Counter(used)
    assert {classes[snippet] for snippet in used} == wanted
    assert set(counts) == able
    assert max(counts.values()) - min(counts.values()) <= 1
    for start in range(0, len(used), len(able)):
        turn = used[start : start + len(able)]
        assert len(set(turn)) == len(turn)


def test_statistics(prepared):
    found = json.loads((prepared.out / "statistics.json").read_text())
    for split, column in (("train", -2), ("val", -1)):
        frames = [frame for frame in prepared.frames.values() if frame.split == split]
        objects = [(frame, o) for frame in frames for o in frame.objects.values()]
        tracks = {(frame.snippet, o.trackid): o.category for frame, o in objects}
        classes = Counter(prepared.classes(split).values())
        beyond = [o for f, o in objects if min(o.box) < 0 or o.box[2] > f.size[0] or o.box[3] > f.size[1]]
        statistics = found["splits"][split]
        assert statistics["snippets"] == len({frame.snippet for frame in frames})
        assert statistics["frames"] == len(frames)
        assert statistics["objects"] == len(objects)
        assert statistics["tracks"] == len(tracks)
        assert {kind: number for kind, number in statistics["snippet_classes"].items() if number} == classes
        assert statistics["objects_per_frame"] == Counter(str(len(frame.objects)) for frame in frames)
        for category, numbers in statistics["categories"].items():
            of = [(frame, o) for frame, o in objects if o.category == category]
            assert numbers == {
                "snippets": len({frame.snippet for frame, _ in of}),
                "tracks": list(tracks.values()).count(category),
                "objects": len(of),
                "occluded": sum(o.occluded for _, o in of),
            }
        assert set(statistics["categories"]) == set(tracks.values())
        assert statistics["occluded_objects"] == sum(o.occluded for _, o in objects)
        assert statistics["generated_boxes"] == sum(o.generated for _, o in objects)
        assert statistics["boxes_beyond_the_frame"] == len(beyond)
        users = Counter(trackid for _, trackid in tracks)
        assert statistics["trackids_of_several_snippets"] == sum(number > 1 for number in users.values()) > 0
        assert statistics["left_out"] == {}
        table = [line.split() for line in prepared.curate.stdout.splitlines()]
        assert [row[column] for row in table if row[:1] == ["objects"] and len(row) == 3] == [str(len(objects))]
    assert found["notes"] == []
    assert found["settings"]["seed"] == 3


def test_the_seed_decides(prepared, tmp_path):
    """And more random crops do not change the others: their names say what they are."""
    lists, crops = contents(prepared.out, ".csv", ".json"), contents(prepared.out, ".jpg")
    out = shutil.copytree(prepared.out, tmp_path / prepared.out.name)
    shutil.rmtree(out / "episodes")
    curate(out, "--seed", 3, "--episodes", EPISODES)
    assert contents(out, ".csv", ".json") == lists
    curate(out, "--seed", 4, "--episodes", 40, "--random_crops", 7)
    others = contents(out, ".csv", ".json")
    assert others["train.csv"] == lists["train.csv"]
    assert all(others[f"episodes/{name}.csv"] != lists[f"episodes/{name}.csv"] for name in SETS)
    after = contents(out, ".jpg")
    assert len(after) > len(crops)
    assert {path: after[path] for path in crops} == crops


def test_a_shortfall_is_told(prepared, tmp_path, capsys):
    shutil.copytree(prepared.out, tmp_path / "out")
    curate(tmp_path / "out", "--episodes", 5000, "--random_crops", 2, "--max_iou", 0.1)
    printed = capsys.readouterr().out
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    for name in SETS:
        episodes = read_episodes(tmp_path / "out" / "episodes" / f"{name}.csv")
        pairs = {(anchor, positive) for anchor, positive, _ in episodes}
        assert 0 < len(pairs) == len(episodes) < 5000  # none comes twice
        assert f"note: {name}: {len(episodes)} of 5000 episodes" in printed
        assert any(note.startswith(f"{name}: {len(episodes)} of 5000") for note in statistics["notes"])
        assert statistics["sets"][name]["episodes"] == len(episodes)
        if name == "easy_val_eval":
            assert {len(negatives) for *_, negatives in episodes} == {2}
            assert all((tmp_path / "out" / path).stat().st_size for *_, negatives in episodes for path in negatives)
