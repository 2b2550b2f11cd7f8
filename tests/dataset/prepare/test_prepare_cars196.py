"""Preparing Cars196: both forms of its annotations, folders and archives, whole and cropped."""

import io
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers.cars196_tree import CARS196_NAMES, make_cars196, save_annotations
from helpers.reid_trees import HEIGHT, WIDTH, read_tables
from PIL import Image

from dataset.formats.manifest import read_manifest
from dataset.prepare.cars196 import main
from runtime.json_files import read_json

CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def names(*numbers: int) -> set[str]:
    return {CARS196_NAMES[number - 1] for number in numbers}


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_cars196(tmp_path / "cars196", train=2, test=3, images=3)


def change(file: Path, **columns: object) -> None:
    """Rewrites annotations: another value in the first row (a callable: in every row), or without a field (None)."""
    found = scipy.io.loadmat(file)["annotations"]
    kept = [name for name in found.dtype.names if columns.get(name, 0) is not None]
    rows = [{name: found[name][0, i].ravel()[0] for name in kept} for i in range(found.size)]
    rows = [{k: v if isinstance(v, str) else int(v) for k, v in row.items()} for row in rows]
    for name, value in columns.items():
        for row in rows if callable(value) else rows[:1] if value is not None else []:
            row[name] = value(row[name]) if callable(value) else value
    save_annotations(file, {file.stem: rows}, {file.stem: tuple(kept)})


@pytest.mark.parametrize("form", ["whole", "devkit", "whole archives", "devkit archives"])
def test_prepared_data_set(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, out = make_cars196(tmp_path / "cars196", train=2, test=3, form=form), tmp_path / "out"
    assert run("--root", tree, "--out", out) == 0
    tables = read_tables(out)
    assert {row[0] for row in tables["train.csv"]} == names(1, 2)
    assert {row[0] for row in tables["test.csv"]} == names(99, 100, 101)
    assert [len(tables[name]) for name in ("train.csv", "test.csv")] == [6, 9]  # the official halves do not matter
    assert {row[1].split("/")[0] for row in tables["train.csv"]} == (
        {"car_ims"} if form.startswith("whole") else {"cars_train", "cars_test"}
    )
    info = read_json(out / "dataset.json")
    assert info["image_root"] == ("images" if "archives" in form else tree.as_posix())
    assert info["counts"]["published_but_different"]["train_images"] == 8054
    said = capsys.readouterr().out
    assert "train images: 6 here, 8054 published" in said
    assert "test images: 9 here, 8131 published" in said
    assert "note:" not in said
    manifest = read_manifest(out / "train.csv", out / info["image_root"])
    for identity, file in zip(manifest.identities, manifest.files(), strict=True):
        with Image.open(file) as image:
            assert image.size == (96, 72)
        assert identity in names(1, 2)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.jpg")}
    assert run("--root", tree, "--out", out) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.parametrize("form", ["whole", "devkit archives"])
def test_crops(form: str, tmp_path: Path) -> None:
    tree = make_cars196(tmp_path / "cars196", train=2, test=2, form=form)
    plain = make_cars196(tmp_path / "plain", train=2, test=2, form=form.removesuffix(" archives"))
    out = tmp_path / "out"
    assert run("--root", tree, "--out", out, "--crop") == 0
    assert read_json(out / "dataset.json")["image_root"] == "images"
    files = ("car_ims", "cars_annos.mat") if form == "whole" else ("cars_train", "devkit/cars_train_annos.mat")
    found = scipy.io.loadmat(tree / files[1])["annotations"].ravel()
    for row in found:
        name = str((row["relative_im_path"] if form == "whole" else row["fname"]).item()).split("/")[-1]
        x1, y1, x2, y2 = (int(row[corner].item()) for corner in CORNERS)
        with Image.open(plain / files[0] / name) as image:
            whole = np.asarray(image, float)
        with Image.open(out / "images" / files[0] / name) as image:
            crop = np.asarray(image, float)
        assert crop.shape == (HEIGHT, WIDTH, 3)
        # MATLAB's image(y1:y2, x1:x2, :); compressed once more.
        assert np.abs(crop - whole[y1 - 1 : y2, x1 - 1 : x2]).mean() < 4
    assert run("--root", tree, "--out", out) == 2  # the whole images are another data set


def test_the_class_number_decides_and_the_benchmarks_own_halves_do_not(tree: Path, tmp_path: Path) -> None:
    """Class 98 is the last one of training, 99 the first of test."""
    for file in (tree / "devkit" / "cars_train_annos.mat", tree / "cars_test_annos_withlabels.mat"):
        change(file, **{"class": lambda number: 98 if number == 2 else number})
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    tables = read_tables(tmp_path / "out")
    assert {row[0] for row in tables["train.csv"]} == names(1, 98)
    assert {row[0] for row in tables["test.csv"]} == names(99, 100, 101)


def test_without_labels_the_test_images_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_cars196(tmp_path / "cars196", train=2, test=2, labelled=False)
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    said, info = capsys.readouterr().out, read_json(tmp_path / "out" / "dataset.json")
    assert "note: the 4 images of cars_test are left out: their classes are not given" in said
    assert "train images: 4 here, 4052 published" in said  # what the official training images make
    assert info["counts"]["unlabelled_images_left_out"] == 4
    assert "official training images only" in info["origin"]
    (tree / "devkit" / "cars_test_annos.mat").unlink()
    assert run("--root", tree, "--out", tmp_path / "other") == 0
    assert "note: the images of cars_test are left out" in capsys.readouterr().out


def test_without_names_identities_are_numbers(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "devkit" / "cars_meta.mat").unlink()
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    assert {row[0] for row in read_tables(tmp_path / "out")["test.csv"]} == {"099", "100", "101"}
    assert "note: there is no cars_meta.mat: identities are the numbers" in capsys.readouterr().out


def test_of_both_forms_the_one_whose_images_are_there(tree: Path, tmp_path: Path) -> None:
    whole = make_cars196(tmp_path / "whole", form="whole")
    (whole / "cars_annos.mat").rename(tree / "cars_annos.mat")
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    assert "devkit/cars_train_annos.mat" in read_json(tmp_path / "out" / "dataset.json")["counts"]["annotations"]
    (whole / "car_ims").rename(tree / "car_ims")
    assert run("--root", tree, "--out", tmp_path / "other") == 0
    found = read_json(tmp_path / "other" / "dataset.json")["counts"]["annotations"]
    assert found == ["cars_annos.mat", "devkit/cars_meta.mat"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"class": 0}, "the class of row 1 (00001.jpg) is 0; classes are 1 to 196"),
        ({"class": 197}, "the class of row 1 (00001.jpg) is 197"),
        ({"class": None}, "annotations has no field class (bbox_x1, "),
        ({"bbox_y2": None}, "annotations has no field bbox_y2"),
        ({"fname": "00002.jpg"}, "00002.jpg stands twice in it, the second time in row 2"),
        ({"fname": "../00001.jpg"}, "is '../00001.jpg', not like 00001.jpg"),
        ({"fname": "/etc/00001.jpg"}, "not like 00001.jpg"),
        ({"fname": "00001.jpg\\..\\x.jpg"}, "not like 00001.jpg"),
        ({"class": lambda _: 3}, "cars_train_annos.mat, devkit/cars_meta.mat: no image of classes above 98"),
        ({"class": lambda _: 103}, "no image of classes 1 to 98"),
    ],
)
def test_annotations_that_are_wrong(
    columns: dict, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = make_cars196(tmp_path / "cars196", train=1, test=1, images=2, labelled=False)
    change(tree / "devkit" / "cars_train_annos.mat", **columns)
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    assert message in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_other_files_of_matlab(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, meta = tree / "devkit" / "cars_train_annos.mat", tree / "devkit" / "cars_meta.mat"
    cases = [
        (train, {"labels": np.arange(3)}, "no variable annotations in it (it holds labels)"),
        (train, {"annotations": np.arange(3)}, "annotations has no field fname (no structure)"),
        (train, {"annotations": np.empty((1, 0), [("fname", object)])}, "annotations has no field"),
        (meta, {"class_names": np.array([["one", "two"]], object)}, "class_names has 2 names, 2 of them different"),
        (meta, {"class_names": np.array([["one"] * 196], object)}, "class_names has 196 names, 1 of them different"),
    ]
    for file, content, message in cases:
        before = file.read_bytes()
        scipy.io.savemat(file, content)
        assert run("--root", tree, "--out", tmp_path / "out") == 2
        assert message in error_of(capsys)
        file.write_bytes(before[: len(before) // 2])
        assert run("--root", tree, "--out", tmp_path / "out") == 2
        assert "not a readable MATLAB file" in error_of(capsys)
        file.write_bytes(before)


def test_what_is_missing_is_named(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--root", tree / "cars_train", "--out", tmp_path / "out") == 2
    error = error_of(capsys)
    assert "neither cars_annos.mat nor cars_train_annos.mat in" in error
    assert "devkit" in error
    image = tree / "cars_test" / "00011.jpg"
    image.unlink()
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    assert "1 of 15 images are broken" in (error := error_of(capsys))
    assert "cars_test/00011.jpg: no such file" in error
    assert run("--root", tree, "--out", tmp_path / "out", "--skip_broken") == 0
    assert read_json(tmp_path / "out" / "dataset.json")["counts"]["broken_images_left_out"] == 1
    (tree / "cars_test").rename(tree / "elsewhere")
    capsys.readouterr()
    assert run("--root", tree, "--out", tmp_path / "other") == 2
    assert (
        "no folder cars_test in it, and no archive of it (cars_test.tgz, cars_test.tar.gz, cars_test.tar)"
        in error_of(capsys)
    )
    assert run("--root", tree, "--out", tmp_path / "other", "--crop", "--copy") == 2
    assert "leave --copy away" in error_of(capsys)


@pytest.mark.parametrize("form", ["devkit", "devkit archives"])
def test_boxes_of_other_images_are_refused(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The boxes are of the original images: of resized ones they would show something else."""
    tree = make_cars196(tmp_path / "cars196", form=form)
    change(tree / "devkit" / "cars_train_annos.mat", bbox_x2=97, bbox_y2=74)  # beyond by 1 and 2: cut off
    assert run("--root", tree, "--out", tmp_path / "slip", "--crop") == 0
    assert run("--root", tree, "--out", tmp_path / "whole") == 0
    capsys.readouterr()
    change(tree / "devkit" / "cars_train_annos.mat", bbox_x2=300)
    assert run("--root", tree, "--out", tmp_path / "out", "--crop") == 2
    error = error_of(capsys)
    assert "1 of 18 boxes do not lie in their images, the first: cars_train/00001.jpg, 96x72, box " in error
    assert "were the images resized?" in error
    assert not (tmp_path / "out").exists()


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    """A member of an archive, whatever it is called."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


def test_an_archive_writes_nothing_but_the_images_that_are_listed(tmp_path: Path, capsys) -> None:
    tree = make_cars196(tmp_path / "a" / "cars196", train=2, test=2, images=2, labelled=False)
    contents = {file.name: file.read_bytes() for file in sorted((tree / "cars_train").iterdir())}
    with tarfile.open(tree / "cars_train.tar", "w") as tar:
        add(tar, "./cars_train", type=tarfile.DIRTYPE)
        for name, data in contents.items():
            add(tar, f"./cars_train/{name}", data)
        add(tar, "../evil.jpg", b"x")
        add(tar, f"{tmp_path}/evil.jpg", b"x")
        add(tar, "cars_train/../../evil.jpg", b"x")
        add(tar, "cars_train/00009.jpg", b"not listed")
        add(tar, "cars_train/link", type=tarfile.SYMTYPE, linkname="/etc")
    for file in (tree / "cars_train").iterdir():
        file.unlink()
    (tree / "cars_train").rmdir()
    out = tmp_path / "a" / "out"
    assert run("--root", tree, "--out", out) == 0
    assert not list(tmp_path.rglob("evil.jpg"))
    assert {f.name: f.read_bytes() for f in (out / "images").rglob("*") if f.is_file()} == contents
    first, second, *others = sorted(contents)
    with tarfile.open(tree / "cars_train.tar", "w") as tar:  # a link in place of an image, and half an image
        add(tar, f"cars_train/{first}", type=tarfile.SYMTYPE, linkname="/etc/hostname")
        add(tar, f"cars_train/{second}", contents[second][:-200])
        for name in others:
            add(tar, f"cars_train/{name}", contents[name])
    capsys.readouterr()
    assert run("--root", tree, "--out", tmp_path / "b") == 2
    error = error_of(capsys)
    assert f"2 of {len(contents)} images are broken" in error
    assert f"cars_train/{first}: not in cars_train.tar" in error
    assert f"cars_train/{second}: truncated" in error
    assert run("--root", tree, "--out", tmp_path / "b", "--check", "off") == 2  # found while extracting
    assert f"1 of {len(contents)} images are not in it, the first: cars_train/{first}" in error_of(capsys)
    assert not (tmp_path / "b" / "dataset.json").exists()
    assert run("--root", tree, "--out", tmp_path / "c", "--skip_broken") == 0
    assert len(list((tmp_path / "c" / "images" / "cars_train").iterdir())) == len(others)
    (tree / "cars_train.tar").write_bytes(b"no archive")
    capsys.readouterr()
    assert run("--root", tree, "--out", tmp_path / "d") == 2
    assert "not a readable tar archive" in error_of(capsys)


def test_a_damaged_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_cars196(tmp_path / "cars196", form="whole archives")
    data = (tree / "car_ims.tgz").read_bytes()
    other_checksum = bytes(byte ^ 255 for byte in data[-8:-4])
    for damaged in (data[: len(data) // 2], data[:-8] + other_checksum + data[-4:], data[:5], b""):
        (tree / "car_ims.tgz").write_bytes(damaged)
        assert run("--root", tree, "--out", tmp_path / "out") == 2
        assert "car_ims.tgz: not a readable tar archive" in error_of(capsys)
        assert not (tmp_path / "out").exists()


def test_lists_of_the_real_size_take_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """8 054 and 8 131 images are what the split of all 16 185 makes, and then nothing differs."""
    rows = []
    for number, (first, images) in enumerate([(1, 8054), (99, 8131)]):
        for i in range(images):
            name = f"car_ims/{number * 8054 + i + 1:06d}.jpg"
            box = dict(zip(CORNERS, (30, 52, 246, 147), strict=True))
            rows.append(box | {"relative_im_path": name, "class": first + i % 98, "test": i % 2})
    fields = ("relative_im_path", *CORNERS, "class", "test")
    meta = {"class_names": np.array([CARS196_NAMES], object)}
    save_annotations(tmp_path / "cars_annos.mat", {"cars_annos": rows}, {"cars_annos": fields}, meta)
    (tmp_path / "car_ims").mkdir()
    start = time.monotonic()
    assert run("--root", tmp_path, "--out", tmp_path / "out", "--check", "off") == 0
    assert time.monotonic() - start < 20
    said = capsys.readouterr().out
    assert "train.csv: 8054 images of 98 identities\ntest.csv: 8131 images of 98 identities\n" in said
    assert "differs" not in said


@pytest.mark.slow
def test_the_real_training_images(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = shared_data / "cars196_small"
    if not root.is_dir():
        pytest.skip(f"no Cars196 at {root}")
    assert run("--root", root, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "train.csv: 4052 images of 98 identities\ntest.csv: 4092 images of 98 identities\n" in said
    assert "differs" not in said
    assert "the 8041 images of cars_test are left out" in said
    tables = read_tables(tmp_path / "out")
    assert tables["train.csv"][0][0] == "AM General Hummer SUV 2000"
    assert tables["test.csv"][-1][0] == "smart fortwo Convertible 2012"
    assert len(list((tmp_path / "out" / "images" / "cars_train").iterdir())) == 8144
    assert run("--root", root, "--out", tmp_path / "crop", "--crop") == 2  # these images were resized
    assert "boxes do not lie in their images" in error_of(capsys)
