"""The generated data set at a tiny size: its parts, that it comes out the same every time, and how it refuses."""

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.vid_tree import contents
from PIL import Image

from dataset.formats.episodes import read_episodes
from dataset.formats.manifest import read_manifest
from dataset.formats.prepared import open_prepared
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
    assert [s.name for s in find_evaluation_sets(data.folder)] == [
        "easy_val_eval",
        "train_eval",
        "val_eval",
        "query_gallery",
    ]
    train = read_manifest(data.train_csv, data.image_root)
    named = set(train.files())
    assert set(train.sequences) <= {f"ILSVRC2015_train_{i:05d}000" for i in range(3)}
    assert set(train.cameras) == {""}
    for evaluation_set in find_evaluation_sets(data.folder)[:3]:
        episodes = read_episodes(evaluation_set.files[0], data.image_root)
        assert len(episodes) == 6
        named |= set(episodes.files())
    query, gallery = (read_manifest(f, data.image_root) for f in find_evaluation_sets(data.folder)[3].files)
    assert set(query.identities) == set(gallery.identities)
    assert query.cameras is None
    for file in named | set(query.files()) | set(gallery.files()):
        with Image.open(file) as crop:
            assert crop.size == (255, 255)
    counts = read_json(prepared / "dataset.json")["counts"]
    assert counts["train images"] == len(train)
    assert counts["crops"] == len(list((prepared / "crops").rglob("*.jpg")))


def test_episodes_have_attributes_that_agree_with_their_paths(prepared):
    for name in ("train_eval", "val_eval", "easy_val_eval"):
        episodes = read_episodes(prepared / "episodes" / f"{name}.csv", prepared)
        assert set(episodes.attributes) == {"snippet", "category", "gap"}
        for number in range(len(episodes)):
            anchor, positive = (Path(episodes.paths[i[number]]) for i in (episodes.anchors, episodes.positives))
            assert episodes.attributes["snippet"][number] == anchor.parent.name
            frames = [int(path.name.split(".")[0]) for path in (anchor, positive)]
            assert int(episodes.attributes["gap"][number]) == abs(frames[0] - frames[1])
            assert episodes.attributes["category"][number] in {category.name for category in CATEGORIES}


def test_annotations_alone_are_those_of_the_frames(prepared, tmp_path):
    prepare(tmp_path / "out", "--annotations_only")
    of_frames = contents(prepared / "vid" / "Annotations", ".xml")
    assert contents(tmp_path / "out" / "vid" / "Annotations", ".xml") == of_frames
    assert not contents(tmp_path / "out", ".JPEG", ".jpg", ".csv")
    prepare(tmp_path / "out", "--annotations_only")  # again, and nothing is taken for complete
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


def test_the_same_seed_gives_the_same_bytes(prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # another working directory, a relative folder, two processes
    out = Path("here")
    prepare(out, "--workers", "2")
    said = capsys.readouterr().out
    assert contents(out, ".csv", ".jpg") == contents(prepared, ".csv", ".jpg")
    assert not (out / "vid").exists()  # frames are kept on demand only
    assert len(said.splitlines()) < 30
    assert [line.split()[-1] for line in said.splitlines() if "val_eval episodes" in line] == ["6", "6"]

    before = {f: f.stat().st_mtime_ns for f in out.rglob("*")}
    prepare(out)
    assert capsys.readouterr().out == "here: already prepared\n"
    assert before == {f: f.stat().st_mtime_ns for f in out.rglob("*")}


def test_another_seed_gives_another_set(prepared, tmp_path):
    prepare(tmp_path, "--seed", "1")
    assert contents(tmp_path, ".csv") != contents(prepared, ".csv")


def test_validation_shows_other_instances(prepared):
    """No snippet of the two splits shares its pictures."""
    files = [contents(prepared / "vid" / "Data" / "VID" / split, ".JPEG") for split in ("train", "val")]
    assert not set(files[0].values()) & set(files[1].values())
    train, val = (next(iter(f.values())) for f in files)
    assert train != val


def test_goes_on_after_an_interruption(prepared, tmp_path):
    prepare(tmp_path)
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "train.csv").unlink()
    kept, lost = sorted((tmp_path / "crops" / "a").rglob("*.jpg"))[:2]
    stamp = kept.stat().st_mtime_ns
    lost.unlink()
    prepare(tmp_path)
    assert kept.stat().st_mtime_ns == stamp
    assert contents(tmp_path, ".csv", ".jpg") == contents(prepared, ".csv", ".jpg")


def test_refuses_to_overwrite(prepared, tmp_path):
    before = contents(prepared, ".csv", ".json")
    with pytest.raises(UserError, match=r"other settings \(seed 0 instead of 4\)"):
        prepare(prepared, "--keep_frames", "--seed", "4")
    assert contents(prepared, ".csv", ".json") == before
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        prepare(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="in the place of the folder"):
        prepare(tmp_path / "mine.txt")
    with pytest.raises(UserError, match="cannot write"):
        prepare(tmp_path / "mine.txt" / "below")


@pytest.mark.parametrize(
    "option", ["--train_snippets=0", "--val_snippets=0", "--frames=2", "--episodes=0", "--seed=-1", "--workers=0"]
)
def test_bad_numbers(tmp_path, option):
    with pytest.raises(UserError, match=f"^argument {option.split('=')[0]}: "):
        prepare(tmp_path / "out", option)
    assert not (tmp_path / "out").exists()


def test_exit_codes(tmp_path):
    module = ("-m", "dataset.prepare.synthetic_vid")
    done = command(*module, "--out", tmp_path / "out", "--train_snippets", "0")
    assert done.returncode == 2
    assert done.stderr.startswith("error: argument --train_snippets: 0: it must be")
    assert len(done.stderr.splitlines()) == 1
    done = command(*module, "--help")
    assert done.returncode == 0
    assert "--keep_frames" in done.stdout


def test_fewer_episodes_are_told(tmp_path, capsys):
    prepare(tmp_path, "--episodes", "5000", "--train_snippets", "1", "--val_snippets", "2")
    printed = capsys.readouterr().out
    with open(tmp_path / "episodes" / "val_eval.csv") as file:
        made = sum(row["role"] == "anchor" for row in csv.DictReader(file))
    assert 0 < made < 5000
    assert f"val_eval: {made} of 5000 episodes" in printed


def test_instances_of_a_snippet_differ():
    rng = np.random.default_rng(0)
    for category in CATEGORIES:
        instances = random_instances(rng, category, 5)
        assert all(difference(a, b) >= 1 for i, a in enumerate(instances) for b in instances[:i])


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.name)
def test_the_box_fits_the_painted_object(category):
    rng = np.random.default_rng(1)
    for instance in random_instances(rng, category, 3):
        pose = Pose(80.3, 60.8, rng.uniform(15, 28), rng.uniform(0, 6), rng.uniform(0.7, 1), rng.uniform(0, 3))
        coverage = paint(np.zeros((120, 160, 3)), instance, pose, (0.1, 0.2))
        area, box = footprint(instance, pose)
        y, x = np.nonzero(coverage > 0.5)
        assert np.abs(np.array([x.min(), y.min(), x.max(), y.max()]) - box).max() < 2
        assert coverage.sum() == pytest.approx(area, rel=0.06)
