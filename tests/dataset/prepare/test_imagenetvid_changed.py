"""Preparing ImageNet VID from an archive that changes between the commands: moved, files gone or come."""

import json

import pytest
from helpers.preparing import crop, curate
from helpers.vid_tree import annotation, contents, make_root, picture, read_episodes

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes
from model.evaluation.sets import find_evaluation_sets
from runtime.errors import UserError

FIRST, SECOND = "ILSVRC2015_val_00000000", "ILSVRC2015_val_00000001"


def test_frames_that_vanish_before_the_random_crops(tmp_path, capsys):
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    crop(root, out, "--split=val")
    for i in range(3):
        picture(root, "val", SECOND, f"00000{i}").unlink()
    curate(out, "--episodes=60")
    episodes = read_episodes(out / "episodes" / "easy_val_eval.csv")
    dropped = 60 - len(episodes)
    assert 0 < dropped < 60
    assert f"note: easy_val_eval: {dropped} episodes left out, since the images of their frames are gone" in (
        capsys.readouterr().out
    )
    load_episodes(out / "episodes" / "easy_val_eval.csv", out, check="full")
    statistics = json.loads((out / "statistics.json").read_text())["sets"]["easy_val_eval"]
    assert statistics["episodes"] == len(episodes)
    assert statistics["snippets"] == len({anchor.split("/")[2] for anchor, *_ in episodes})


def test_an_archive_that_was_moved(tmp_path):
    """Crops are there, but random crops cannot be cut; with the new place it works, and nothing is cropped again."""
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    crop(root, out, "--split=val")
    before = {path: (out / path).stat().st_mtime_ns for path in contents(out, ".jpg")}
    root.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=f"^{root}/Data/VID/val: no such folder.*run crop with"):
        curate(out, "--episodes=8")
    assert not (out / "dataset.json").exists()
    crop(tmp_path / "moved", out, "--split=val")
    curate(out, "--episodes=8")
    assert len(read_episodes(out / "episodes" / "easy_val_eval.csv")) == 8
    assert before == {path: (out / path).stat().st_mtime_ns for path in before}


def test_frames_that_came_later_are_read(tmp_path, capsys):
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    text = annotation(root, "val", FIRST, "000005")
    late = text.read_bytes()
    text.unlink()
    crop(root, out, "--split=val")
    crops = len(contents(out, ".jpg"))
    text.write_bytes(late)
    crop(root, out, "--split=val")
    assert "other files than when its annotations were read" in capsys.readouterr().out
    assert len(contents(out, ".jpg")) > crops


def test_a_split_that_lost_its_images_loses_its_lists_and_does_not_block_the_other(tmp_path, capsys):
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    crop(root, out)
    curate(out, "--episodes=5")
    for image in (root / "Data" / "VID" / "train").rglob("*.JPEG"):
        image.unlink()
    for each in (out / "crops").glob("[a-d]/*/*.jpg"):
        each.unlink()
    (out / "crops_val.json").unlink()
    with pytest.raises(UserError, match="none of its 24 frames gave a crop"):
        crop(root, out)
    assert (out / "crops_val.json").exists()
    curate(out, "--episodes=5")
    assert "train: none of its objects has a crop" in capsys.readouterr().out
    assert not (out / "train.csv").exists()
    sets = {"val_eval", "easy_val_eval"}
    assert {each.name for each in find_evaluation_sets(open_prepared(str(out)).folder)} == sets
    assert {file.stem for file in (out / "episodes").glob("*.csv")} == sets
    assert {file.stem for file in (out / "episodes" / "attributes").iterdir()} == sets
