"""`python -m dataset.check`: what it finds in data sets that were damaged on purpose, and its exit codes."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.check.__main__ import main
from dataset.check.identities import looks_of

HEADER = "identity,path,camera\n"


def draw(folder: Path, name: str, seed: int, **options) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(file, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound prepared data set: two identities to train, two to evaluate, by two cameras."""
    for seed, name in enumerate(["a0", "a1", "b0", "b1", "c0", "c1", "d0", "d1"]):
        draw(tmp_path, f"images/{name}.png", seed)
    (tmp_path / "dataset.json").write_text('{"name": "small", "image_root": "images"}')
    (tmp_path / "train.csv").write_text(HEADER + "a,a0.png,1\na,a1.png,2\nb,b0.png,1\nb,b1.png,2\n")
    (tmp_path / "query.csv").write_text(HEADER + "c,c0.png,1\nd,d0.png,1\n")
    (tmp_path / "gallery.csv").write_text(HEADER + "c,c1.png,2\nd,d1.png,2\n")
    return tmp_path


def found_in(folder: Path, expected: int) -> dict[str, list[str]]:
    """The items of each finding, as the JSON file has them."""
    report = folder / "report.json"
    assert main([str(folder), "--json", str(report)]) == expected
    return {each["name"]: each["items"] for each in json.loads(report.read_text())["findings"]}


def add(folder: Path, name: str, line: str) -> None:
    with open(folder / name, "a") as file:
        file.write(line + "\n")


def test_a_sound_data_set(folder, capsys):
    assert found_in(folder, 0) == {}
    assert capsys.readouterr().out.endswith("no problems\n")


def test_broken_images_are_named(folder, capsys):
    data = bytearray((folder / "images/a0.png").read_bytes())
    data[-20] ^= 1  # a checksum, which only the decoder minds
    (folder / "images/a0.png").write_bytes(data)
    (folder / "images/c1.png").unlink()
    (folder / "images/d1.png").unlink()
    os.mkfifo(folder / "images/d1.png")
    items = found_in(folder, 1)["unreadable"]
    assert [item.partition(": ")[0] for item in items] == ["a0.png", "c1.png", "d1.png"]
    assert "PROBLEM: images that cannot be read: 3\n    a0.png: " in capsys.readouterr().out


def test_copies_are_found_by_their_pixels(folder):
    """Also with another compression, and where they do most harm."""
    draw(folder, "images/other.png", 0, compress_level=0)  # of a0
    draw(folder, "images/same.png", 2, compress_level=1)  # of b0
    draw(folder, "images/leaked.png", 4)  # of c0
    draw(folder, "images/trivial.png", 6)  # of d0
    add(folder, "train.csv", "b,other.png,1\nb,same.png,1\nc,leaked.png,1")
    add(folder, "gallery.csv", "d,trivial.png,2")
    found = found_in(folder, 1)
    assert found["contradicting_copies"] == ["a0.png (train, a) = other.png (train, b)"]
    assert found["copies"] == ["b0.png (train, b) = same.png (train, b)"]
    assert found["leaked_images"] == ["leaked.png (train, c) = c0.png (query, c)"]
    assert found["copied_matches"] == ["d0.png (query, d) = trivial.png (gallery, d)"]
    assert found["shared_query_identities"] == ["c"]


def test_an_excluded_copy_is_no_match(folder):
    draw(folder, "images/twin.png", 6)
    add(folder, "gallery.csv", "d,twin.png,1\nd,d0.png,1")  # the query's camera
    assert "copied_matches" not in found_in(folder, 0)


def test_a_closed_set_is_a_note(folder):
    (folder / "train.csv").write_text(HEADER + "c,a0.png,1\nc,a1.png,2\nd,b0.png,1\nd,b1.png,2\n")
    assert found_in(folder, 0)["shared_query_identities"] == ["c", "d"]


def test_cameras(folder):
    add(folder, "query.csv", "e,b0.png,1")
    (folder / "train.csv").write_text(HEADER + "a,a0.png,1\na,a1.png,1\nb,b1.png,1\nb,copy.png,2\n")
    draw(folder, "images/copy.png", 9)
    found = found_in(folder, 0)
    assert found["unmatched_query"] == ["b0.png (e)"]
    assert found["train_one_camera"] == ["a (camera 1)"]
    (folder / "gallery.csv").write_text(HEADER + "c,c1.png,1\nd,d1.png,1\n")
    assert len(found_in(folder, 1)["unmatched_query"]) == 3


def test_episodes(folder):
    (folder / "episodes").mkdir()
    roles = "0,anchor,c0.png\n0,positive,c1.png\n0,negative,d0.png\n1,anchor,d0.png\n1,positive,d1.png\n"
    (folder / "episodes/val_eval.csv").write_text(f"episode,role,path\n{roles}1,negative,twin.png\n")
    draw(folder, "images/twin.png", 6)  # of d0
    assert found_in(folder, 1)["episodes/val_eval_equal_roles"] == ["episode 1"]
    (folder / "episodes/val_eval.csv").write_text(f"episode,role,path\n{roles}1,negative,a0.png\n")
    assert found_in(folder, 1)["leaked_images"] == ["a0.png (train, a) = a0.png (episodes/val_eval)"]
    (folder / "episodes/val_eval.csv").rename(folder / "episodes/train_eval.csv")
    assert found_in(folder, 0) == {}


def test_a_plain_folder(tmp_path, capsys):
    for seed, name in enumerate(["Anna/0.png", "Anna /0.png", "anna/0.png", "loose.png"]):
        draw(tmp_path, name, seed)
    found = found_in(tmp_path, 1)
    assert found == {
        "identities_that_look_the_same": ["'Anna', 'Anna '"],
        "identities_that_differ_in_case": ["'Anna', 'Anna ', 'anna'"],
    }
    assert "images: 4 images of 4 identities" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one", "other"),
    [("a b", "a\u00a0b"), ("e\u0301", "\u00e9"), ("ab", "a\u200bb"), ("a b", " a  b\t"), ("ab", "ab\n")],
)
def test_names_that_look_the_same(one, other):
    assert looks_of(one) == looks_of(other)


def test_invalid_input_is_one_line(tmp_path, folder, capsys):
    for words in (["nowhere"], [str(folder), "--json", str(tmp_path / "no/report.json")], []):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
