"""Lists of images in every form: the images, their order, where paths start, and errors."""

import glob
import io
import os
import sys

import pytest

from dataset.formats.image_list import read_image_list
from runtime.errors import UserError

NAMES = ["a.jpg", "B.JPEG", "b/with space.png", "b/c/ä,1.jpg", "b/c/2.Png", "b.d/3.jpg"]
OTHERS = ["notes.txt", "b/4.gif", ".hidden.jpg", ".cache/5.jpg", "__MACOSX/6.jpg", "b/c/jpg"]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The folder `photos` of the current folder."""
    for name in (*NAMES, *OTHERS):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


@pytest.fixture
def type_in(monkeypatch):
    """A function that provides bytes on standard input."""
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_folder_is_taken_at_any_depth(photos):
    (photos / "b" / "c" / "up").symlink_to(photos / "b")  # a circle
    manifest = read_image_list("photos")
    assert list(manifest.paths) == sorted(NAMES)
    assert not manifest.labelled
    assert all(os.path.exists(file) for file in manifest.files())  # noqa: PTH110
    assert read_image_list(f"{photos}/b/").files() == [f"{photos}/b/{n[2:]}" for n in sorted(NAMES) if n[:2] == "b/"]


@pytest.mark.parametrize(
    "pattern",
    ["photos/*.jpg", "photos/**/*.jpg", "photos/*/*", "photos/**/*.[Pp]ng", "*/b/**", "./photos/b/?/*", "**/b/**/c/*"],
)
def test_a_pattern_matches_as_in_python(photos, pattern):
    manifest = read_image_list(pattern)
    matches = [path for path in glob.glob(pattern, recursive=True) if path.endswith(tuple(NAMES))]  # noqa: PTH207
    assert list(manifest.paths) == sorted({path for path in matches if "__MACOSX" not in path})
    whole = read_image_list(f"{photos.parent}/{pattern.removeprefix('./')}")
    assert list(read_image_list(pattern, image_root=str(photos.parent)).paths) == list(manifest.paths)
    assert [os.path.relpath(file) for file in whole.files()] == [os.path.normpath(path) for path in manifest.paths]


def test_a_hidden_folder_that_is_named(photos):
    assert list(read_image_list("photos/.cache/*.jpg").paths) == ["photos/.cache/5.jpg"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "b/c/ä,1.jpg\n\n/abs/x.jpg\r\n"),
        ("list.txt", '\ufeffpath\n"b/c/ä,1.jpg"\n/abs/x.jpg'),
        ("list.txt", 'path,label\n"b/c/ä,1.jpg",x\n/abs/x.jpg,y'),
        ("list.csv", 'path\n"b/c/ä,1.jpg"\n/abs/x.jpg\n'),
        ("list.csv", 'path,label\n"b/c/ä,1.jpg",x\n/abs/x.jpg,\n'),
        ("list.csv", 'label,path,camera\nx,"b/c/ä,1.jpg",1\ny,/abs/x.jpg,1\n'),
        ("list.csv", '"b/c/ä,1.jpg"\n/abs/x.jpg\n'),
    ],
)
def test_a_list_of_paths(photos, type_in, name, text):
    (photos / name).write_text(text)
    manifest = read_image_list(f"photos/{name}")
    assert list(manifest.paths) == ["b/c/ä,1.jpg", "/abs/x.jpg"]
    assert manifest.files() == ["photos/b/c/ä,1.jpg", "/abs/x.jpg"]
    assert not manifest.labelled
    assert read_image_list(f"photos/{name}", image_root="else").files()[0] == "else/b/c/ä,1.jpg"
    if name == "list.txt":
        type_in(text.encode())
        manifest = read_image_list("-")
        assert manifest.files() == ["./b/c/ä,1.jpg", "/abs/x.jpg"]
        type_in(text.encode())
        assert read_image_list("-", image_root="else").files()[0] == "else/b/c/ä,1.jpg"


@pytest.mark.parametrize("name", ["list.csv", "list.txt", "-"])
def test_a_manifest_keeps_its_identities(photos, type_in, name):
    text = "identity,path,camera\nx,a.jpg,1\ny,b.jpg,2\n"
    (photos / name).write_text(text)
    type_in(text.encode())
    manifest = read_image_list("-" if name == "-" else f"photos/{name}")
    assert manifest.labelled
    assert [list(column) for column in (manifest.identities, manifest.cameras)] == [["x", "y"], ["1", "2"]]
    (photos / "old.csv").write_text("x,a.jpg\ny,b.jpg\n")
    assert list(read_image_list("photos/old.csv").identities) == ["x", "y"]


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("nowhere", None, "nowhere: no such file or folder"),
        ("nowhere/*.jpg", None, "there is no folder nowhere"),
        ("photos/*.gif", None, "photos/*.gif: it matches no image whose name ends in .jpg, .jpeg, .png"),
        ("photos/a.jpg", None, "photos/a.jpg: this is an image, not a list of images"),
        ("empty", None, "empty: no image in this folder or below"),
        ("list.txt", b"", "list.txt: no images in it"),
        ("list.csv", b"path\n", "list.csv: no images in it"),
        ("list.txt", b"a.jpg\n\nb.jpg\na.jpg\n", "list.txt: row 3: 'a.jpg' is already in row 1"),
        ("list.csv", b"path\na.jpg\na.jpg\n", "list.csv: row 3: 'a.jpg' is already in row 2"),
        ("list.csv", b"path\na.jpg,b.jpg\n", "list.csv: row 2: 2 fields instead of 1 (path)"),
        ("list.csv", b"label,path\na.jpg\n", "list.csv: row 2: 1 fields instead of 2 (label,path)"),
        ("list.csv", b'path\n""\n', "list.csv: row 2: empty path"),
        ("list.csv", b"path,identity\na.jpg,x\n", "the header is 'path,identity'"),
        ("list.txt", b"a.jpg\n\xff.jpg\n", r"list.txt: line 2: b'\xff.jpg' is not UTF-8"),
        ("list.csv", b"\xff.jpg\n", "list.csv: not UTF-8 text"),
        ("-", b"", "standard input: no images in it"),
        ("-", b"a.jpg\na.jpg", "standard input: row 2: 'a.jpg' is already in row 1"),
    ],
)
def test_refused(photos, type_in, source, content, message):
    (photos.parent / "empty").mkdir()
    if source == "-":
        type_in(content)
    elif content is not None:
        (photos.parent / source).write_bytes(content)
    with pytest.raises(UserError) as error:
        read_image_list(source)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_names_and_folders_that_cannot_be_read(photos, monkeypatch):
    with pytest.raises(UserError, match="--image_root x: the paths of a folder always start in it"):
        read_image_list("photos", image_root="x")
    odd = os.fsencode(photos) + b"/b/\xff.jpg"
    os.close(os.open(odd, os.O_CREAT))
    for source in ("photos", "photos/**/*.jpg"):
        with pytest.raises(UserError, match=r"the name '(b/)?\\udcff.jpg' is not UTF-8; rename it"):
            read_image_list(source)
    os.unlink(odd)  # noqa: PTH108
    with pytest.raises(UserError, match="is not UTF-8"):
        read_image_list("\udcff")

    def closed(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", closed)  # chmod stops everyone but root
    with pytest.raises(UserError, match=r"^photos: cannot be read: Permission denied$"):
        read_image_list("photos")
