"""The synthetic data set at a tiny size: its parts, reproducibility, and errors."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.vid_tree import contents
from PIL import Image

from dataset.formats.episodes import read_episodes
from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes, load_images
from dataset.prepare.synthetic_vid import main
from dataset.vid.archive import index_split
from dataset.vid.synthetic.objects import CATEGORIES, Pose, difference, footprint, paint, random_instances
from model.evaluation.sets import find_evaluation_sets
from runtime.errors import UserError
from runtime.json_files import read_json

TINY = ["--train_snippets", "3", "--val_snippets", "4", "--frames", "5", "--episodes", "6"]


def prepare(out: Path, *options: str) -> None:
    main(["--out", str(out), *TINY, "--workers", "1", *options])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "data"
    prepare(out, "--keep_frames")
    return out


def test_is_a_prepared_data_set(prepared):
    data = open_prepared(str(prepared))
    *episode_sets, query_gallery = find_evaluation_sets(data.folder)
    assert [s.name for s in episode_sets] == ["easy_val_eval", "train_eval", "val_eval"]
    lists = [load_images(file, data.image_root, check="full") for file in (data.train_csv, *query_gallery.files)]
    episodes = [load_episodes(s.files[0], data.image_root, check="full") for s in episode_sets]
    assert [each.skipped for each in (*lists, *episodes)] == [{}] * 6
    train, query, gallery = (each.manifest for each in lists)
    assert set(train.sequences) <= {f"ILSVRC2015_train_{i:05d}000" for i in range(3)}
    assert set(query.identities) == set(gallery.identities)
    assert query.cameras is None
    assert [len(each.episodes) for each in episodes] == [6] * 3
    counts = read_json(prepared / "dataset.json")["counts"]
    assert counts["train images"] == len(train)
    assert counts["crops"] == len(list((prepared / "crops").rglob("*.jpg")))


def test_annotations_alone_are_those_of_the_frames(prepared, tmp_path):
    prepare(tmp_path / "out", "--annotations_only")
    of_frames = contents(prepared / "vid" / "Annotations", ".xml")
    assert contents(tmp_path / "out" / "vid" / "Annotations", ".xml") == of_frames
    assert not contents(tmp_path / "out", ".JPEG", ".jpg", ".csv")
    prepare(tmp_path / "out", "--annotations_only")  # again: nothing counts as complete
    with pytest.raises(UserError, match="other settings"):
        prepare(tmp_path / "out")


def test_the_layout_is_that_of_imagenet_vid(prepared):
    folder = "ILSVRC2015_VID_train_0000/ILSVRC2015_train_00002000"
    assert (prepared / "vid" / "Data" / "VID" / "train" / folder / "000004.JPEG").is_file()
    assert (prepared / "vid" / "Annotations" / "VID" / "train" / folder / "000004.xml").is_file()
    for split, number in (("train", 3), ("val", 4)):
        index = index_split(prepared / "vid", split, workers=1)
        snippets = list(index.snippets())
        assert index.problems == ()
        assert [len(snippet.frames) for snippet in snippets] == [5] * number
        for snippet in snippets:
            objects = [o for frame in snippet.frames for o in frame.objects]
            assert len({o.category for o in objects}) == 1  # look-alikes only
            assert len({o.trackid for o in objects}) in (1, 3, 4, 5)
            for frame in snippet.frames:
                with Image.open(frame.image_file(prepared / "vid")) as image:
                    assert image.size == (frame.width, frame.height)
                for o in frame.objects:
                    assert 0 <= o.xmin < o.xmax < frame.width
                    assert 0 <= o.ymin < o.ymax < frame.height
    pictures = [contents(prepared / "vid" / "Data" / "VID" / split, ".JPEG") for split in ("train", "val")]
    assert not set(pictures[0].values()) & set(pictures[1].values())  # validation shows other instances


def test_the_same_seed_gives_the_same_bytes(prepared, tmp_path, monkeypatch, capsys):
    """From another working directory, in two processes, and after an interruption."""
    monkeypatch.chdir(tmp_path)
    out = Path("here")
    prepare(out, "--workers", "2")
    said = capsys.readouterr().out
    assert contents(out, ".csv", ".jpg") == contents(prepared, ".csv", ".jpg")
    assert not (out / "vid").exists()  # frames are kept only on request
    assert len(said.splitlines()) < 30
    assert [line.split()[-1] for line in said.splitlines() if "val_eval episodes" in line] == ["6", "6"]

    before = {f: f.stat().st_mtime_ns for f in out.rglob("*")}
    prepare(out)
    assert capsys.readouterr().out == "here: already prepared\n"
    assert before == {f: f.stat().st_mtime_ns for f in out.rglob("*")}

    kept, lost = sorted((out / "crops" / "a").rglob("*.jpg"))[:2]
    for file in (out / "dataset.json", out / "train.csv", lost):
        file.unlink()
    prepare(out)
    assert kept.stat().st_mtime_ns == before[kept]
    assert contents(out, ".csv", ".jpg") == contents(prepared, ".csv", ".jpg")


def test_another_seed_gives_another_set_and_fewer_episodes_are_reported(prepared, tmp_path, capsys):
    prepare(tmp_path, "--seed", "1", "--episodes", "5000")
    made = len(read_episodes(tmp_path / "episodes" / "val_eval.csv", tmp_path))
    assert 0 < made < 5000
    assert f"val_eval: only {made} of 5,000 episodes" in capsys.readouterr().out
    assert contents(tmp_path, ".csv")["train.csv"] != contents(prepared, ".csv")["train.csv"]


def test_refuses_to_overwrite(prepared, tmp_path):
    before = contents(prepared, ".csv", ".json")
    with pytest.raises(UserError, match=r"other settings \(seed 0 instead of 4\)"):
        prepare(prepared, "--keep_frames", "--seed", "4")
    assert contents(prepared, ".csv", ".json") == before
    (tmp_path / "mine.txt").write_text("precious")
    for out, message in (
        (tmp_path, "not empty"),
        (tmp_path / "mine.txt", "this is a file, not a folder"),
        (tmp_path / "mine.txt" / "below", "cannot write"),
    ):
        with pytest.raises(UserError, match=message):
            prepare(out)
    assert contents(tmp_path) == {"mine.txt": b"precious"}


@pytest.mark.parametrize(
    "option", ["--train_snippets=0", "--val_snippets=0", "--frames=2", "--episodes=0", "--seed=-1", "--workers=0"]
)
def test_bad_numbers(tmp_path, option):
    done = command("-m", "dataset.prepare.synthetic_vid", "--out", tmp_path / "out", option)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: argument {option.split('=')[0]}: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.name)
def test_instances_differ_and_their_boxes_fit(category):
    rng = np.random.default_rng(1)
    instances = random_instances(rng, category, 5)
    assert all(difference(one, other) >= 1 for one, other in itertools.combinations(instances, 2))
    for instance in instances:
        pose = Pose(80.3, 60.8, rng.uniform(15, 28), rng.uniform(0, 6), rng.uniform(0.7, 1), rng.uniform(0, 3))
        coverage = paint(np.zeros((120, 160, 3)), instance, pose, (0.1, 0.2))
        area, box = footprint(instance, pose)
        y, x = np.nonzero(coverage > 0.5)
        assert np.abs(np.array([x.min(), y.min(), x.max(), y.max()]) - box).max() < 2
        assert coverage.sum() == pytest.approx(area, rel=0.06)
