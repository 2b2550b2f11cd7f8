"""Names with a fixed meaning keep it on every road: junk, distractors, the folders of public data sets."""

import inspect

import pytest
from PIL import Image

from dataset.formats.reserved import find_nobody
from dataset.loading.training_set import load_training_set
from dataset.prepare.csv import main as prepare_csv
from dataset.prepare.folder import BATCH_P
from dataset.prepare.folder import main as prepare_folder
from model.configuration.params import Params
from runtime.json_files import write_json

JUNK = ["-1", "-1", "00-1"]


def pictures(folder, names):
    """Small different images."""
    for number, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 90, 9)).save(file)
    return folder


def run(main, *words):
    return main([str(word) for word in words])


def test_a_distractor_is_known_by_its_name():
    names = ["a/0000_c1s1_000451_03.jpg", "0000_c2_f0046182.jpg", "x/0000C1T0001F001.jpg", "0000/1.jpg", "0000_a.jpg"]
    nobody = find_nobody(["0000"] * len(names), names)
    assert nobody.mask.tolist() == [True, True, True, False, False]
    assert str(nobody) == "3 distractors (0000)"
    assert str(find_nobody([*JUNK, "1"], "abcd")) == "3 junk images (identity -1)"
    assert not str(find_nobody([], []))


def test_junk_is_not_trained_from_a_list_of_any_hand(tmp_path):
    names = [f"{who}/{number}.png" for who in ("a", "b", "-1") for number in range(2)]
    pictures(tmp_path, names)
    (tmp_path / "train.csv").write_text("identity,path\n" + "".join(f"{name[:-6]},{name}\n" for name in names))
    write_json(tmp_path / "dataset.json", {"name": "x", "image_root": "."})
    data = load_training_set(Params(dataset=str(tmp_path), batch_p=2))
    assert data.sampler.identities.tolist() == ["a", "b"]
    assert len(data.images) == len(data.images.orientations) == 4
    assert data.summary().endswith("; 2 junk images (identity -1) excluded")


def test_junk_is_excluded_by_the_commands(tmp_path, capsys):
    people = [f"{who}/{number}.png" for who in "abcd" for number in range(2)]
    root = pictures(tmp_path / "tree", [*people, "-1/0.png", "00-1/0.png"])
    assert run(prepare_folder, "--images", root, "--out", tmp_path / "a") == 0
    said = capsys.readouterr().out
    assert "excluded 2 junk images (identity -1)" in said
    rows = "".join((tmp_path / "a" / f"{name}.csv").read_text() for name in ("train", "test"))
    assert rows.count(".png") == 8
    assert "-1" not in rows

    lists = tmp_path / "list.csv"
    lists.write_text("".join(f"{who},{who}/0.png\n" for who in ("a", "b", "-1")))
    words = ("--train", lists, "--image_root", root, "--out", tmp_path / "b")
    assert run(prepare_csv, *words) == 0
    assert "train.csv: excluded 1 junk image (identity -1)" in capsys.readouterr().out
    lists.write_text("-1,-1/0.png\n")
    assert run(prepare_csv, *words) == 2
    assert "only 1 junk image" in capsys.readouterr().err


MARKET = ("bounding_box_train", "query", "bounding_box_test")


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ([f"{part}/000{n}_c1s1_000451_0{n}.jpg" for part in MARKET for n in (1, 2)], "market1501 --root {root}"),
        ([f"{part}/000{n}_c1_f0046182.jpg" for part in MARKET for n in (1, 2)], "dukemtmc --root {root}"),
        ([f"M/{part}/000{n}_c1s1_000451_0{n}.jpg" for part in MARKET for n in (1, 2)], "market1501 --root {root}/M"),
        ([f"pictures/000{n}_c1s1_000451_0{n}.jpg" for n in (1, 2)] + ["b/1.jpg"], "market1501"),
        ([f"000{n}_c1s1_000451_0{n}.jpg" for n in (1, 2)], "market1501"),
        ([f"{part}/0001/0001C1T0001F001.jpg" for part in ("bbox_train", "bbox_test")], "mars"),
        (["cars_train/00001.jpg", "cars_test/00001.jpg"], "cars196"),
        (["car_ims/000001.jpg", "a/1.jpg", "cars_annos.mat"], "cars196"),
        (["images/001.A/1.jpg", "images/002.B/1.jpg", "images.txt", "image_class_labels.txt"], "cub"),
        (["bicycle_final/1_0.JPG", "chair_final/2_0.JPG", "Ebay_train.txt"], "sop"),
        (["Data/VID/train/a/0.jpg", "Data/VID/val/b/0.jpg"], "imagenetvid crop"),
        (["images_background/A/c1/1.png", "images_evaluation/B/c1/1.png"], "omniglot --background"),
        ([f"labeled/{part}/0001_c1_1.png" for part in MARKET], "cuhk03"),
        (["train/a/1.jpg", "Val/a/2.jpg"], "csv"),
        (["query/1.jpg", "gallery/2.jpg"], "csv"),
    ],
)
def test_parts_of_a_data_set_are_no_identities(tmp_path, capsys, files, command):
    root = tmp_path / "root"
    for file in files:
        if file.lower().endswith(("jpg", "png")):
            pictures(root, [file])
        else:
            (root / file).touch()
    assert run(prepare_folder, "--images", root, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"python -m dataset.prepare.{command.format(root=root)}" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_folders_that_only_sound_like_parts_are_identities(tmp_path, capsys):
    root = pictures(tmp_path / "toys", ["train/1.jpg", "train/2.jpg", "car/1.jpg", "car/2.jpg", "0001/0001_c1_1.jpg"])
    assert run(prepare_folder, "--images", root, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert f"a batch has batch_p = {BATCH_P} by default; also set batch_p to " in said
    assert inspect.signature(Params).parameters["batch_p"].default == BATCH_P
