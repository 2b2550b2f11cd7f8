"""Preparing any class-per-folder tree."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from dataset.formats.manifest import read_manifest
from dataset.formats.prepared import open_prepared
from dataset.prepare.folder import main, split_identities
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json


def picture(file: Path, shade: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(file)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """6 identities (one nested, one with a single image) and things that are no images."""
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
    return root


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def tables(out: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """identity -> paths of train.csv and of test.csv, every image being there."""
    prepared, found = open_prepared(str(out)), []
    for name in ("train.csv", "test.csv"):
        manifest, groups = read_manifest(out / name, prepared.image_root), {}
        assert all(Path(file).is_file() for file in manifest.files())
        for identity, path in zip(manifest.identities, manifest.paths, strict=True):
            groups.setdefault(identity, []).append(path)
        found.append(groups)
    return found[0], found[1]


def test_prepared_data_set(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data" / "mine"
    assert run("--images", tree, "--out", out, "--licence", "CC0") == 0
    train, test = tables(out)
    assert set(train) | set(test) == {"a", "b", "c/left", "c/right", "größe d", "lonely"}
    assert not set(train) & set(test)
    assert len(train) == len(test) == 3
    assert (train | test)["c/left"] == ["c/left/0.PNG", "c/left/1.jpg"]
    info = read_json(out / "dataset.json")
    assert (info["name"], info["licence"], info["image_root"]) == ("mine", "CC0", tree.as_posix())
    counts = info["counts"]
    assert counts["train_images"] + counts["test_images"] == 14
    assert counts["identities_with_one_image"] == 1
    assert counts["images_without_identity_left_out"] == 1
    assert counts["other_files_left_out"] == {".gif": 1, ".txt": 1}
    said = capsys.readouterr().out
    assert "1 .gif, 1 .txt" in said
    assert "one image only: 1" in said
    assert "python train.py --model_dir" in said.splitlines()[-1]


def test_split_depends_on_the_seed_alone() -> None:
    names = [f"id{i}" for i in range(40)]
    assert split_identities(names, 0.5, 3) == split_identities(names[::-1], 0.5, 3)
    assert split_identities(names, 0.5, 3) != split_identities(names, 0.5, 4)


@pytest.mark.parametrize(
    ("count", "fraction", "test"),
    [(2, 0.5, 1), (3, 0.5, 2), (10, 0.2, 2), (10, 0.01, 1), (10, 0.99, 9), (2, 0.9, 1), (10, 0.0, 0)],
)
def test_split_sizes(count: int, fraction: float, test: int) -> None:
    train_names, test_names = split_identities([str(i) for i in range(count)], fraction, 0)
    assert (len(train_names), len(test_names)) == (count - test, test)
    assert not train_names & test_names


def test_without_test_set(tree: Path, tmp_path: Path) -> None:
    assert run("--images", tree, "--out", tmp_path / "o", "--test_fraction", 0) == 0
    assert find_evaluation_sets(open_prepared(str(tmp_path / "o")).folder) == []


def test_images_inside_out_are_relative(tree: Path, tmp_path: Path) -> None:
    """Such a data set can be moved to another place."""
    out = tmp_path / "o"
    shutil.copytree(tree, out / "images")
    for _ in range(2):
        assert run("--images", out / "images", "--out", out) == 0
    assert read_json(out / "dataset.json")["image_root"] == "images"
    out.rename(tmp_path / "moved")
    tables(tmp_path / "moved")


def test_out_is_the_tree_itself(tree: Path) -> None:
    for _ in range(2):  # the second time its own files are there
        assert run("--images", tree, "--out", tree) == 0
    assert read_json(tree / "dataset.json")["image_root"] == "."
    tables(tree)


def test_copy_and_completion(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert run("--images", tree, "--out", out, "--copy") == 0
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    (out / "dataset.json").unlink()  # as if it had been interrupted
    (out / "images" / "a" / "0.PNG").unlink()
    (out / "images" / "a" / "1.jpg.part").write_bytes(b"half")
    assert run("--images", tree, "--out", out, "--copy") == 0
    assert {file: file.read_bytes() for file in before} == before
    shutil.rmtree(tree)
    tables(out)


def test_repeating_is_fine_and_other_content_is_refused(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    assert run("--images", tree, "--out", out) == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    assert run("--images", tree, "--out", out) == 0
    for change in (
        ("--seed", 1),
        ("--test_fraction", 0.2),
        ("--licence", "other"),
        ("--copy",),
        ("--test_fraction", 0),
    ):
        assert run("--images", tree, "--out", out, *change) == 2
        assert "choose another --out" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.parametrize("name", ["query.csv", "holiday.txt", "images/mine.jpg"])
def test_a_folder_with_other_files_is_refused(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "o" / name).parent.mkdir(parents=True)
    (tmp_path / "o" / name).write_text("x")
    assert run("--images", tree, "--out", tmp_path / "o", "--copy") == 2
    assert name in capsys.readouterr().err
    assert not (tmp_path / "o" / "dataset.json").exists()


def test_broken_images(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "a" / "cut.jpg").write_bytes((tree / "a" / "1.jpg").read_bytes()[:-30])
    (tree / "only broken").mkdir()
    (tree / "only broken" / "none.png").write_bytes(b"")
    assert run("--images", tree, "--out", tmp_path / "o") == 2
    error = capsys.readouterr().err
    assert "a/cut.jpg: truncated" in error
    assert "only broken/none.png: empty file" in error
    assert not (tmp_path / "o").exists()
    assert run("--images", tree, "--out", tmp_path / "o", "--skip_broken") == 0
    train, test = tables(tmp_path / "o")
    assert "a/cut.jpg" not in (train | test)["a"]
    assert "only broken" not in train | test
    assert read_json(tmp_path / "o" / "dataset.json")["counts"]["broken_images_left_out"] == 2
    assert "2 broken images left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "no such folder"),
        ((), "no JPEG or PNG"),
        (("a/x.gif",), "1 .gif"),
        (("x.jpg",), "directly in it"),
        (("a/x.jpg", "a/y.jpg"), "at least 2"),
    ],
)
def test_unusable_trees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: tuple[str, ...] | None, message: str
) -> None:
    if files is not None:
        (tmp_path / "tree").mkdir()
        for file in files:
            picture(tmp_path / "tree" / file)
    assert run("--images", tmp_path / "tree", "--out", tmp_path / "o") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_unusable_arguments(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for fraction in (1, -0.1, "nan"):
        assert run("--images", tree, "--out", tmp_path / "o", "--test_fraction", fraction) == 2
    assert run("--images", tree, "--out", tree / "inside", "--copy") == 2
    assert run("--images", tree / "a" / "notes.txt", "--out", tmp_path / "o") == 2
    assert run("--images", tree, "--out", tree / "a") == 2
    assert "would be taken for identities" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert run("--images", tree, "--out", tmp_path / "file") == 2
    assert "is a file" in capsys.readouterr().err


def test_links_in_a_circle_end(tree: Path, tmp_path: Path) -> None:
    (tree / "a" / "again").symlink_to(tree, target_is_directory=True)
    assert run("--images", tree, "--out", tmp_path / "o") == 0
    train, test = tables(tmp_path / "o")
    assert len(train | test) == 6
