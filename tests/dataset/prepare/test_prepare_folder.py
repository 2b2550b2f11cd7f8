"""Preparing a tree with one folder per identity."""

import shutil
from pathlib import Path

import pytest
from helpers.preparing import Preparation
from PIL import Image

from dataset.prepare.folder import main, split_identities


def picture(file: Path, shade: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(file)


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """6 identities (one nested, one with a single image) and files that are not images."""
    root = tmp_path / "my pictures"
    for identity, count in (("a", 3), ("b", 2), ("c/left", 2), ("c/right", 4), ("größe d", 2), ("lonely", 1)):
        for i in range(count):
            picture(root / identity / f"{i}.{'jpg' if i % 2 else 'PNG'}", i)
    (root / "a" / "notes.txt").write_text("x")
    (root / "b" / "moving.gif").write_bytes(b"GIF89a")
    (root / "b" / ".DS_Store").write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "0.jpg").write_bytes(b"resource fork")
    picture(root / "loose.jpg")
    return Preparation(main, capsys, root, tmp_path / "data" / "mine", option="--images")


def test_prepared_data_set(prepare: Preparation) -> None:
    said, info = prepare("--licence", "CC0"), prepare.info()
    tables = prepare.tables(images=True)
    test, train = prepare.identities().values()
    assert train | test == {"a", "b", "c/left", "c/right", "größe d", "lonely"}
    assert not train & test
    assert len(train) == len(test) == 3
    assert prepare.evaluation_sets() == {"test": "all_vs_all"}
    left = [row for rows in tables.values() for row in rows if row[0] == "c/left"]
    assert left == [("c/left", "c/left/0.PNG"), ("c/left", "c/left/1.jpg")]
    assert (info["name"], info["licence"], info["image_root"]) == ("mine", "CC0", prepare.root.as_posix())
    counts = info["counts"]
    assert counts["train_images"] + counts["test_images"] == 14
    assert counts["identities_with_one_image"] == 1
    assert counts["images_without_identity_left_out"] == 1
    assert counts["other_files_left_out"] == {".gif": 1, ".txt": 1}
    assert "1 .gif, 1 .txt" in said
    assert "skipped 1 image directly in --images" in said
    assert "1 identity with only one image" in said
    assert f'{{"dataset": "{prepare.out}"}}' in said.splitlines()[-2]
    assert "python train.py --model_dir" in said.splitlines()[-1]


def test_the_next_step_has_the_short_name_of_a_data_set_in_data(prepare: Preparation, monkeypatch) -> None:
    monkeypatch.chdir(prepare.out.parent.parent)
    assert '{"dataset": "mine"}' in prepare()


@pytest.mark.parametrize(
    ("count", "fraction", "test"),
    [(2, 0.5, 1), (3, 0.5, 2), (10, 0.2, 2), (10, 0.01, 1), (10, 0.99, 9), (2, 0.9, 1), (10, 0.0, 0)],
)
def test_split_sizes(count: int, fraction: float, test: int) -> None:
    names = [f"id{i}" for i in range(count)]
    train_names, test_names = split_identities(names, fraction, 3)
    assert (len(train_names), len(test_names)) == (count - test, test)
    assert not train_names & test_names
    assert split_identities(names[::-1], fraction, 3) == (train_names, test_names)  # the order does not decide
    assert count < 10 or not test or split_identities(names, fraction, 4) != (train_names, test_names)


@pytest.mark.parametrize("inside", ["images", "."])
def test_images_inside_out_are_relative(prepare: Preparation, tmp_path: Path, inside: str) -> None:
    """Such a data set can be moved. Without a test fraction it has no evaluation set."""
    images = shutil.copytree(prepare.root, prepare.out / inside)
    for _ in range(2):  # the second time its own files are there
        prepare("--images", images, "--test_fraction", 0)
    assert prepare.evaluation_sets() == {}
    assert prepare.info()["image_root"] == inside
    prepare.out = prepare.out.rename(tmp_path / "moved")
    prepare.tables(images=True)


def test_copy_and_completion(prepare: Preparation) -> None:
    """Circular links do not matter."""
    (prepare.root / "a" / "again").symlink_to(prepare.root, target_is_directory=True)
    prepare("--copy")
    before = prepare.files()
    (prepare.out / "dataset.json").unlink()  # as if it had been interrupted
    (prepare.out / "images" / "a" / "0.PNG").unlink()
    (prepare.out / "images" / "a" / "1.jpg.part").write_bytes(b"half")
    prepare("--copy")
    assert before.items() <= prepare.files().items()
    shutil.rmtree(prepare.root)
    assert sum(map(len, prepare.tables(images=True).values())) == 14


def test_repeating_is_fine_and_other_content_is_refused(prepare: Preparation) -> None:
    prepare()
    before = prepare.files()
    prepare()
    for change in ("--seed=1", "--test_fraction=0.2", "--licence=other", "--copy", "--test_fraction=0"):
        assert "choose another --out" in prepare.refused(change)
    assert prepare.files() == before


@pytest.mark.parametrize("name", ["query.csv", "holiday.txt", "images/mine.jpg", "episodes/mine.csv"])
def test_a_folder_with_other_files_is_refused(prepare: Preparation, name: str) -> None:
    for file in (prepare.out / name, prepare.out / "images" / "a" / "0.PNG"):  # this one is ours
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    assert name.removesuffix("/mine.csv") in prepare.refused("--copy")
    assert not (prepare.out / "dataset.json").exists()


def test_broken_images(prepare: Preparation) -> None:
    (prepare.root / "a" / "cut.jpg").write_bytes((prepare.root / "a" / "1.jpg").read_bytes()[:-30])
    (prepare.root / "only broken").mkdir()
    (prepare.root / "only broken" / "none.png").write_bytes(b"")
    error = prepare.refused()
    assert "a/cut.jpg: truncated" in error
    assert "only broken/none.png: empty file" in error
    assert "--skip_broken" in error
    assert not prepare.out.exists()
    assert "skipped 2 broken images" in prepare("--skip_broken")
    rows = [row for rows in prepare.tables(images=True).values() for row in rows]
    assert len(rows) == 14
    assert not {("a", "a/cut.jpg"), ("only broken", "only broken/none.png")}.intersection(rows)
    assert prepare.info()["counts"]["broken_images_left_out"] == 2


@pytest.mark.parametrize(
    ("files", "words", "message"),
    [
        ((), ["--images", "{root}/../gone"], "no such folder"),
        ((), ["--images", "{root}/../tree"], "no JPEG or PNG"),
        (("a/x.gif",), ["--images", "{root}/../tree"], "1 .gif"),
        (("x.jpg",), ["--images", "{root}/../tree"], "directly in it"),
        (("a/x.jpg", "a/y.jpg"), ["--images", "{root}/../tree"], "at least 2"),
        ((), ["--test_fraction=1"], "it must be a number between 0 and 0.99"),
        ((), ["--test_fraction=-0.1"], "it must be a number"),
        ((), ["--test_fraction=nan"], "it must be a number"),
        ((), ["--out", "{root}/inside", "--copy"], "overlap; name another --out"),
        ((), ["--out", "{root}/a"], "would count as identities"),
        ((), ["--images", "{root}/a/notes.txt"], "not a folder"),
        (("x.png",), ["--out", "{root}/../tree/x.png"], "is a file"),
    ],
)
def test_unusable_trees_and_arguments(
    prepare: Preparation, tmp_path: Path, files: tuple[str, ...], words: list[str], message: str
) -> None:
    (tmp_path / "tree").mkdir()
    for file in files:
        picture(tmp_path / "tree" / file)
    assert message in prepare.refused(*(word.format(root=prepare.root) for word in words))
    assert not prepare.out.exists()
