"""Preparing ImageNet VID: invalid input gives one line each; other options (one split, lists without frames)."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.preparing import crop, curate, imagenetvid
from helpers.vid_tree import contents, make_root, picture, put_frame, thing
from PIL import Image

from dataset.formats.prepared import open_prepared
from dataset.vid.siamfc_crops import CropSettings, cut
from model.evaluation.sets import find_evaluation_sets
from runtime.errors import UserError
from runtime.json_files import read_json


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_root(tmp_path_factory.mktemp("vid") / "root")


@pytest.fixture(scope="module")
def cropped(root, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cropped") / "out"
    crop(root, out, "--split=val")
    return out


def refused(*words: object) -> str:
    """The one line on stderr."""
    done = command("-m", "dataset.prepare.imagenetvid", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    return done.stderr.removeprefix("error: ")


SNIPPET = "ILSVRC2015_val_00000000"
CROP = ["crop", "--root", "{root}", "--out", "{out}"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["curate"], "--out"),
        ([*CROP, "--out", ""], "--out"),
        ([*CROP, "--root", "a\nb"], "--root"),
        ([*CROP, "--split", "test"], "invalid choice: 'test'"),
        ([*CROP, "--exemplar_size=300"], "--exemplar_size 300 is more than --search_size 255"),
    ],
)
def test_usage(root, tmp_path, words, message):
    out = tmp_path / "out"
    assert message in refused(*(word.format(root=root, out=out) for word in words))
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "bad"),
    [
        (CROP, "--quality=0 --quality=101 --context=-1 --context=nan --exemplar_size=0 --search_size=1 --workers=0"),
        (["curate"], "--seed=-1 --episodes=0 --random_crops=0 --max_iou=0 --max_iou=1.5 --workers=0"),
    ],
)
def test_bad_numbers(words, bad):
    for option in bad.split():
        assert refused(*words, option).startswith(f"argument {option.split('=')[0]}: ")


def test_no_archive(root, tmp_path):
    out, only = tmp_path / "out", tmp_path / "only annotations"
    shutil.copytree(root / "Annotations" / "VID" / "val", only / "Annotations" / "VID" / "val")
    assert "no such folder; --root must be the folder" in refused("crop", "--root", tmp_path / "typo", "--out", out)
    for words, folder in (([], only / "Data" / "VID" / "val"), (["--split=train"], only / "Annotations/VID/train")):
        assert str(folder) in refused("crop", "--root", only, "--out", out, *words)
    assert not out.exists()


def test_a_folder_with_something_else(root, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    for out, message in (
        (tmp_path, "this folder is not empty and was not made by this command"),
        (tmp_path / "mine.txt", "this is a file, not a folder"),
        (tmp_path / "mine.txt" / "below", "cannot write"),
    ):
        assert message in refused("crop", "--root", root, "--out", out)
    for out in (tmp_path, tmp_path / "typo"):
        assert "first run the command crop with this --out" in refused("curate", "--out", out)
    assert contents(tmp_path) == {"mine.txt": b"precious"}


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--quality=80", "quality 90 instead of 80"),
        ("--search_size=127", "search 255 instead of 127"),
        ("--context=0.5", "context 0.01 instead of 0.5"),
        ("--min_box=4", "min_box 0 instead of 4"),
        ("--root={other}", "made from {root}, not from"),
    ],
)
def test_other_options_on_the_same_folder(root, cropped, tmp_path, option, told):
    before, other = contents(cropped), shutil.copytree(root, tmp_path / "other")
    words = ("crop", "--root", root, "--out", cropped, option.format(other=other))
    assert told.format(root=root) in refused(*words)
    assert contents(cropped) == before


def test_damaged_records(root, tmp_path):
    out = tmp_path / "out"
    made = '{"made_by": "dataset.prepare.imagenetvid"'
    for text in ("{", "[]", '{"made_by": "me"}', made + "}", made + ', "root": 5, "crops": [1]}'):
        out.mkdir(exist_ok=True)
        (out / "settings.json").write_text(text)
        for words in (["crop", "--root", root], ["curate"]):
            assert str(out / "settings.json") in refused(*words, "--out", out)
    shutil.rmtree(out)
    crop(root, out, "--split=val")
    (out / "crops_val.json").write_text('{"missing_frames": 5, "left_out": {}}')
    assert "it is damaged; run the command crop again" in refused("curate", "--out", out)
    index = (out / "index" / "val.npz").read_bytes()
    (out / "index" / "val.npz").write_bytes(index[:1000])
    for words in (["crop", "--root", root], ["curate"]):
        assert "--reindex" in refused(*words, "--out", out)
    crop(root, out, "--split=val", "--reindex")
    assert (out / "index" / "val.npz").read_bytes() == index
    curate(out, "--episodes=4")


def test_crops_of_another_kind(tmp_path, capsys):
    """Small objects are skipped as requested; the others follow the same formula with other numbers."""
    root, out = tmp_path / "root", tmp_path / "out"
    for i in range(4):
        objects = [thing(0, (5, 5, 30, 30)), thing(1, (40, 5, 49, 40)), thing(2, (50, 5, 60, 15))]
        put_frame(root, "val", SNIPPET, f"{i:06d}", objects)
    crop(root, out, "--min_box=10", "--search_size=63", "--exemplar_size=31", "--quality=100", "--context=0.25")
    with pytest.raises(UserError, match=rf"imagenetvid curate --out {out} --seed 0"):
        open_prepared(str(out))  # it is not curated yet
    curate(out, "--episodes=5")
    printed = capsys.readouterr().out
    assert "skipped as requested: box below 10 pixels: 4" in printed
    assert "nothing else was skipped" in printed
    crops = {path for path in contents(out, ".jpg") if path.endswith(".crop.x.jpg")}
    numbers = [f"{i:06d}.{trackid}" for i in range(4) for trackid in ("00", "02")]
    assert crops == {f"crops/e/{SNIPPET}/{number}.crop.x.jpg" for number in numbers}
    for path in contents(out, ".jpg"):
        with Image.open(out / path) as image:
            assert (image.size, image.quantization[0][0]) == ((63, 63), 1)  # quality 100: all steps are 1
    with Image.open(picture(root, "val", SNIPPET, "000000")) as frame, Image.open(out / min(crops)) as seen:
        expected = cut(frame, CropSettings(context=0.25, exemplar=31, search=63).window((5, 5, 30, 30)), 63)
        # In grey: JPEG halves the size of the colours.
        assert np.abs(np.asarray(seen.convert("L"), float) - np.asarray(expected.convert("L"))).mean() <= 1
    statistics = read_json(out / "statistics.json")["splits"]["val"]
    assert (statistics["objects_per_frame"], statistics["left_out"]) == ({"2": 4}, {"box below 10 pixels": 4})
    assert "val_eval: 0 of 5 episodes" in printed  # only two candidates
    assert [each.name for each in find_evaluation_sets(open_prepared(str(out)).folder)] == ["easy_val_eval"]
    assert not (out / "train.csv").exists()
    assert "train: its annotations have not been read, so there is no train.csv and train_eval" in printed


def test_lists_without_frames(root, tmp_path, monkeypatch, capsys):
    """`index` needs no pictures; the lists equal those made after cropping."""
    shutil.copytree(root / "Annotations", tmp_path / "bare" / "Annotations")
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/.settings.json.7.tmp").write_bytes(b"{")  # left by a run that was killed at its start
    imagenetvid("index", Path("out"), "--root", "bare")
    assert sorted(contents(Path("out"), ".tmp", ".json")) == ["settings.json"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # relative paths start where they were given
    out = Path("../out")
    curate(out, "--episodes=6")
    printed = capsys.readouterr().out
    assert printed.endswith("before training, run crop, then curate again\n")
    assert "note: train: some of its crops are missing" in printed
    assert not (out / "dataset.json").exists()
    lists = contents(out, ".csv")
    assert {"train.csv", "episodes/val_eval.csv", "episodes/easy_val_eval.csv"} <= set(lists)

    shutil.copytree(root / "Data", tmp_path / "bare" / "Data")
    crop(Path("../bare"), out)
    curate(out, "--episodes=6")
    assert (out / "dataset.json").exists()
    assert contents(out, ".csv") == lists


def test_nothing_to_curate(tmp_path):
    root, out = tmp_path / "root", tmp_path / "out"
    put_frame(root, "val", SNIPPET, "000000", [thing(0, (5, 5, 30, 30))])
    picture(root, "val", SNIPPET, "000000").write_bytes(b"")
    assert "none of its 1 frames gave a crop" in refused("crop", "--root", root, "--out", out)
    message = refused("curate", "--out", out)
    assert "no object of val has a crop" in message
    assert "problems_val.csv" in message
