"""Preparing ImageNet VID from an archive that changes between the commands: moved, files gone or come."""

import json

import pytest
from helpers.vid_tree import annotation, contents, make_root, picture, read_episodes

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes
from dataset.prepare.imagenetvid import main
from model.evaluation.sets import find_evaluation_sets
from runtime.errors import UserError

FIRST, SECOND = "ILSVRC2015_val_00000000", "ILSVRC2015_val_00000001"


def test_frames_that_vanish_before_the_random_crops(tmp_path, capsys):
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    main(["crop", "--root", str(root), "--out", str(out), "--split", "val", "--workers", "1"])
    for i in range(3):
        picture(root, "val", SECOND, f"00000{i}").unlink()
    main(["curate", "--out", str(out), "--episodes", "60", "--workers", "1"])
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
    main(["crop", "--root", str(root), "--out", str(out), "--split", "val", "--workers", "1"])
    before = {path: (out / path).stat().st_mtime_ns for path in contents(out, ".jpg")}
    root.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=f"^{root}/Data/VID/val: no such folder.*run crop with"):
        main(["curate", "--out", str(out), "--episodes", "8", "--workers", "1"])
    assert not (out / "dataset.json").exists()
    main(["crop", "--root", str(tmp_path / "moved"), "--out", str(out), "--split", "val", "--workers", "1"])
    main(["curate", "--out", str(out), "--episodes", "8", "--workers", "1"])
    assert len(read_episodes(out / "episodes" / "easy_val_eval.csv")) == 8
    assert before == {path: (out / path).stat().st_mtime_ns for path in before}


def test_a_split_without_images_does_not_block_the_other(tmp_path, capsys):
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    for image in (root / "Data" / "VID" / "train").rglob("*.JPEG"):
        image.unlink()
    with pytest.raises(UserError, match="none of its 24 frames gave a crop"):
        main(["crop", "--root", str(root), "--out", str(out), "--workers", "1"])
    assert (out / "crops_val.json").exists()
    main(["curate", "--out", str(out), "--episodes", "5", "--workers", "1"])
    assert "train: none of its objects has a crop" in capsys.readouterr().out
    assert {each.name for each in find_evaluation_sets(open_prepared(str(out)).folder)} == {"val_eval", "easy_val_eval"}


def test_frames_that_came_later_are_read(tmp_path, capsys):
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    text = annotation(root, "val", FIRST, "000005")
    late = text.read_bytes()
    text.unlink()
    words = ["crop", "--root", str(root), "--out", str(out), "--split", "val", "--workers", "1"]
    main(words)
    crops = len(contents(out, ".jpg"))
    text.write_bytes(late)
    main(words)
    assert "other files than when its annotations were read" in capsys.readouterr().out
    assert len(contents(out, ".jpg")) > crops


def test_lists_of_an_earlier_curation_go(tmp_path):
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    words = ["--root", str(root), "--out", str(out), "--workers", "1"]
    curate = ["curate", "--out", str(out), "--episodes", "5", "--workers", "1"]
    main(["crop", *words])
    main(curate)
    for image in (root / "Data" / "VID" / "train").rglob("*.JPEG"):
        image.unlink()
    for crop in (out / "crops").glob("[a-d]/*/*.jpg"):
        crop.unlink()
    with pytest.raises(UserError, match="gave a crop"):
        main(["crop", *words])
    main(curate)
    assert not (out / "train.csv").exists()
    names = {"val_eval.csv", "easy_val_eval.csv"}
    assert {file.name for file in (out / "episodes").glob("*.csv")} == names
    assert {file.name for file in (out / "episodes" / "attributes").iterdir()} == names
