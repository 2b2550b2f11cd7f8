"""Readers of lists and archives: what they do not open, and the bounds of what they read."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from helpers.failing import fail
from helpers.preparing import Preparation
from helpers.reid_trees import make_mars

from dataset.formats.image_list import read_image_list
from dataset.formats.manifest import read_manifest
from dataset.prepare import market1501, omniglot
from dataset.sources import matlab, stored_images
from dataset.sources.word_lists import read_words
from dataset.vid.annotations import parse_frame
from dataset.vid.index import read_index
from model.embedding.hdf5_file import read_embeddings
from runtime import input_files
from runtime.child import ChildError, run_in_child
from runtime.errors import UserError
from runtime.files import find_unfinished, remove_unfinished, replace_file

READERS = {
    "manifest": lambda file: read_manifest(file, Path()),
    "list": lambda file: read_image_list(str(file)),
    "words": lambda file: read_words(file, "a b", ""),
    "matlab": lambda file: matlab.read_variables(file, "a"),
    "embeddings": read_embeddings,
    "zip": lambda file: omniglot.list_drawings(str(file), "background"),
    "tar": lambda file: list(stored_images._read(file, set())),
}


@pytest.mark.parametrize("name", READERS)
def test_pipes_are_not_opened(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="this is a pipe, not a file"):
        READERS[name](tmp_path / "pipe")


def test_annotations_are_bounded(tmp_path: Path) -> None:
    file = tmp_path / "000000.xml"
    os.mkfifo(file)
    assert "this is a pipe" in str(parse_frame(file)[1][0])
    file.unlink()
    head = "<annotation><filename>000000</filename>"
    for content, message in (("<object/>" * 2000, "2,000 objects"), (" " * 2**21, "at most 1.05 MB are read")):
        file.write_text(f"{head}{content}</annotation>")
        assert message in str(parse_frame(file)[1][0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("identity,path\na,ä.jpg\n".encode("utf-16"), "UTF-16"),
        ("identity,path\na,ä.jpg\n".encode("latin-1"), "line 2, byte 16: .*; perhaps it is Latin-1"),
        (b"PK\x03\x04\xff\xff", "this is a zip archive"),
    ],
)
def test_other_encodings(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / "a.csv", Path())


def test_large_lists_are_refused(tmp_path: Path) -> None:
    with open(tmp_path / "a.csv", "wb") as file:
        file.truncate(input_files.LIST_BYTES + 1)  # takes no space
    with pytest.raises(UserError, match=r"it has 1.07 GB, but at most 1.07 GB are read"):
        read_manifest(tmp_path / "a.csv", Path())


def test_members_of_archives_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member may be larger than its archive says."""
    name, data = "top/A/character01/0001_01.png", omniglot.PNG_START + bytes(5_000_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    with pytest.raises(UserError, match=r"unpacks to 5 MB, but at most 1.05 MB are read"):
        omniglot.list_drawings(str(tmp_path / "a.zip"), "background")
    packed = (tmp_path / "a.zip").read_bytes()
    size = len(data).to_bytes(4, "little")
    assert packed.count(size) == 2
    (tmp_path / "a.zip").write_bytes(packed.replace(size, (300).to_bytes(4, "little")))
    drawings = omniglot.list_drawings(str(tmp_path / "a.zip"), "background")
    with pytest.raises(UserError, match="cannot be unpacked"):
        omniglot.extract({"background": drawings, "evaluation": []}, tmp_path / "out")
    monkeypatch.setattr(stored_images, "_FREE_BYTES", 10**5)
    monkeypatch.setattr(stored_images, "MEMBER_BYTES", 10**7)
    for size in (5 * 10**6, 2 * 10**7):
        with tarfile.open(tmp_path / "a.tgz", "w:gz") as file:
            member = tarfile.TarInfo("a.jpg")
            member.size = size
            file.addfile(member, io.BytesIO(bytes(size)))
        for wanted in (set(), {"a.jpg"}):
            with pytest.raises(UserError, match=r"at most|unpacks to more than"):
                list(stored_images._read(tmp_path / "a.tgz", wanted))
    monkeypatch.setattr("dataset.vid.index._MOST_BYTES", 1000)
    np.savez_compressed(tmp_path / "a.npz", names=np.zeros(1000))
    with pytest.raises(UserError, match="damaged"):
        read_index(tmp_path / "a.npz")


@pytest.mark.parametrize(("how", "message"), [("crash", "SIGABRT"), ("hang", "0.5 seconds"), ("memory", "memory")])
def test_a_process_that_does_not_answer(how: str, message: str) -> None:
    values = run_in_child(fail, how, seconds=0.5, memory=2**27)
    assert next(values) == "started"
    with pytest.raises(ChildError, match=message):
        next(values)


def test_what_a_file_of_embeddings_must_not_do(tmp_path: Path) -> None:
    secret, file = tmp_path / "secret.bin", tmp_path / "e.h5"
    secret.write_bytes(bytes(96))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["emb"] = np.ones((6, 4), np.float32)

    def external(h5: h5py.File) -> None:
        h5.create_dataset("emb", (6, 4), "f4", external=[(str(secret), 0, 96)])

    def linked(h5: h5py.File) -> None:
        h5["emb"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/emb")

    def virtual(h5: h5py.File) -> None:
        layout = h5py.VirtualLayout((6, 4), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "emb", (6, 4))
        h5.create_virtual_dataset("emb", layout)

    def huge(h5: h5py.File) -> None:
        h5.create_dataset("emb", (2**40, 4), "f4", chunks=(1, 4))

    def endless(h5: h5py.File) -> None:
        h5["emb"] = np.ones((6, 4), np.float32)
        h5.create_dataset("augmentation_types", (2**40,), h5py.string_dtype(), chunks=(10,))

    def latin(h5: h5py.File) -> None:
        h5["emb"] = np.ones((1, 4), np.float32)
        h5.create_dataset("path", data=[b"\xe4.jpg"], dtype=h5py.string_dtype("ascii"))

    for make, message in (
        (external, "values of 'emb' are in another file"),
        (linked, "'emb' is only a link"),
        (virtual, "values of 'emb' are in another file"),
        (huge, r"17.6 TB, but the whole file has"),
        (endless, r"8.8 TB, but the whole file has"),
        (latin, "row 1 is b'.xe4.jpg', which is not UTF-8"),
    ):
        with h5py.File(file, "w") as h5:
            make(h5)
        with pytest.raises(UserError, match=message):
            read_embeddings(file)
    file.write_bytes(b"\x93NUMPY" + bytes(50))
    with pytest.raises(UserError, match="not an HDF5 file: it is a NumPy file"):
        read_embeddings(file)


def test_long_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name of 255 bytes is written and copied, though its temporary name must be another one."""
    file = tmp_path / f"{'ä' * 125}.json"
    assert len(os.fsencode(file.name)) == 255
    with replace_file(file) as written:
        written.write("1")
        assert len(find_unfinished(file)) == 1
    (tmp_path / f".{file.name[:20]}.7.tmp").touch()
    remove_unfinished(file)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted((file.name, f".{file.name[:20]}.7.tmp"))
    root = make_mars(tmp_path / "mars")
    scipy.io.savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([[7]], np.uint16)})
    people = tmp_path / "market"
    for part in market1501.FOLDERS.values():
        (people / part).mkdir(parents=True)
        name = f"0001_c1s1_{'0' * 234}1_01.jpg"
        image = next((root / "bbox_train").rglob("*.jpg"))
        (people / part / name).write_bytes(image.read_bytes())
    prepare = Preparation(market1501.main, capsys, people, tmp_path / "out")
    prepare("--copy")
    assert len(list((tmp_path / "out" / "images").rglob("0001_c1s1_*.jpg"))) == 3
