"""Archives of Cars196's images that are hostile, incomplete or damaged."""

import io
import tarfile
from pathlib import Path

import pytest
from helpers.cars196_tree import error_of, make_cars196, run


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
