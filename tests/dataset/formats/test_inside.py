"""Paths of lists and archives stay inside their folder, when they are read and when files are written."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers.preparing import Preparation, crop, read_tables
from helpers.reid_trees import make_cars196, make_cub, make_market1501, make_mars, make_sop
from helpers.vid_tree import make_root

from dataset.formats.inside import check_inside, fault_of
from dataset.prepare import cars196, cub, market1501, mars, omniglot, sop
from dataset.vid.index import read_index
from runtime.errors import UserError

BAD = ["../x.jpg", "a/../../x.jpg", "/x.jpg", "..\\x.jpg", "C:\\x.jpg", "\\\\host\\x.jpg", "a/\0.jpg", "", "a/.."]
GOOD = ["x.jpg", "a/x..jpg", "./a/z.jpg", "...", "9:15.jpg", "größe/x y.jpg"]


def test_faults_of_paths() -> None:
    assert all(fault_of(path) for path in BAD)
    assert not any(fault_of(path) for path in GOOD)


def test_links_that_lead_outside(tmp_path: Path) -> None:
    """The folder may be a link, and links may stay inside it."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "a").mkdir(parents=True)
    outside.mkdir()
    (outside / "x.jpg").touch()
    (inside / "b").symlink_to("a")
    (inside / "way out").symlink_to(outside)
    (inside / "a" / "x.jpg").symlink_to(outside / "x.jpg")
    (inside / "a" / "y.jpg").symlink_to("missing.jpg")
    (tmp_path / "other name").symlink_to(inside)
    for folder in (inside, tmp_path / "other name"):
        check_inside(folder, [*GOOD, "a/y.jpg", "b/z.jpg"], "list")
        for path in (*BAD, "way out/x.jpg", "way out/new.jpg", "a/x.jpg", "b/x.jpg", "a/../way out/x.jpg"):
            with pytest.raises(UserError, match=r"^list: "):
                check_inside(folder, ["a/z.jpg", path], "list")


@pytest.fixture
def prepare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[list[str]], int], Path], Preparation]:
    return lambda main, root: Preparation(main, capsys, root, tmp_path / "out" / "set")


def everything(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if "secret" not in str(file)}


@pytest.mark.parametrize("words", [[], ["--copy"], ["--check", "off"], ["--copy", "--check", "off"]])
@pytest.mark.parametrize("path", ["../secret/0.jpg", "{secret}", "link/0.jpg", "chair_final\\..\\..\\secret\\0.jpg"])
def test_list_of_products(prepare: Callable, tmp_path: Path, path: str, words: list[str]) -> None:
    root, secret = make_sop(tmp_path / "sop", train=2, test=2, images=2), tmp_path / "secret"
    (tmp_path / "sop" / "bicycle_final").rename(secret)
    image = next(secret.iterdir()).rename(secret / "0.jpg")
    (root / "link").symlink_to(secret)
    listed = root / "Ebay_train.txt"
    listed.write_text(listed.read_text().splitlines()[0] + f"\n1 1 1 {path.format(secret=image)}\n")
    before = everything(tmp_path)
    error = prepare(sop.main, root).refused(*words)
    assert "Ebay_train.txt: " in error
    assert "leads" in error or "absolute" in error
    assert everything(tmp_path) == before


@pytest.mark.parametrize("words", [["--copy"], ["--crop"], ["--check", "off", "--crop"], ["--check", "off"]])
@pytest.mark.parametrize("name", ["..", "link", "/tmp"])
def test_list_of_birds(prepare: Callable, tmp_path: Path, name: str, words: list[str]) -> None:
    root, secret = make_cub(tmp_path / "cub"), tmp_path / "secret"
    secret.mkdir()
    (root / "images" / "link").symlink_to(secret)
    for listed in ("images.txt", "classes.txt"):
        text = (root / listed).read_text().replace("001.Painted_Bird_1", name)
        (root / listed).write_text(text)
    before = everything(tmp_path)
    assert "images.txt: " in prepare(cub.main, root).refused(*words)
    assert everything(tmp_path) == before
    assert not any(secret.iterdir())


def test_tables_of_matlab(prepare: Callable, tmp_path: Path) -> None:
    """Names in them cannot lead outside; links are found."""
    cars, tracks = make_cars196(tmp_path / "cars", form="whole"), make_mars(tmp_path / "mars")
    for main, root, folder in ((cars196.main, cars, "car_ims"), (mars.main, tracks, "bbox_test/0001")):
        (root / folder).rename(tmp_path / "secret")
        (root / folder).symlink_to(tmp_path / "secret")
        assert "through a link" in prepare(main, root).refused("--check", "off")
        (root / folder).unlink()
        (tmp_path / "secret").rename(root / folder)
    info = tracks / "info" / "test_name.txt"
    info.write_text(info.read_text().replace("0001C1T0001F001.jpg", "../0001C1T0001F001.jpg"))
    assert "row" in prepare(mars.main, tracks).refused()
    annotations = {"annotations": scipy.io.loadmat(cars / "cars_annos.mat")["annotations"]}
    annotations["annotations"]["relative_im_path"][0, 0] = "car_ims/../../000001.jpg"
    scipy.io.savemat(cars / "cars_annos.mat", annotations)
    assert "must be like" in prepare(cars196.main, cars).refused("--crop")


@pytest.mark.parametrize(("form", "words"), [("folders", ["--copy"]), ("crops", ["--crop"]), ("archives", [])])
def test_links_in_the_output(prepare: Callable, tmp_path: Path, form: str, words: list[str]) -> None:
    """Nothing is written through a link in OUT/images; OUT/images itself may be a link to another disk."""
    if form == "folders":
        main, root, folder = market1501.main, make_market1501(tmp_path / "market"), "query"
    elif form == "crops":
        main, root, folder = cub.main, make_cub(tmp_path / "cub"), "001.Painted_Bird_1"
    else:
        main, root, folder = cars196.main, make_cars196(tmp_path / "cars", form="devkit archives"), "cars_test"
    prepared, disk, secret = prepare(main, root), tmp_path / "disk", tmp_path / "secret"
    disk.mkdir()
    secret.mkdir()
    prepared.out.mkdir(parents=True)
    (prepared.out / "images").symlink_to(disk)
    (disk / folder).symlink_to(secret)
    assert "through a link" in prepared.refused(*words)
    assert not any(secret.iterdir())
    (disk / folder).unlink()
    prepared(*words)
    assert any((disk / folder).iterdir())
    assert read_tables(prepared.out)


@pytest.mark.parametrize("member", ["../A/character01/0001_01.png", "/A/B/character01/0001_01.png", "A\\..\\..\\x.png"])
def test_members_of_archives(prepare: Callable, tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w") as archive:
        archive.writestr("images_background/A/character01/0001_01.png", b"\x89PNG\r\n\x1a\n")
        archive.writestr(member, b"\x89PNG\r\n\x1a\n")
    words = ["--evaluation", tmp_path / "images_background.zip"]
    prepared = prepare(omniglot.main, tmp_path / "images_background.zip")
    prepared._words = ("--background", prepared.root, "--out", prepared.out)
    assert "its member" in prepared.refused(*words)
    assert not prepared.out.exists()


def test_members_of_tar_archives(prepare: Callable, tmp_path: Path) -> None:
    """Other members, links and devices among them, are ignored."""
    root = make_cars196(tmp_path / "cars", form="whole archives")
    archive = next(root.glob("car_ims.*"))
    with tarfile.open(archive) as packed:
        members = [(member, packed.extractfile(member).read()) for member in packed if member.isfile()]
    with tarfile.open(archive, "w:gz") as written:
        for name, kind, to in (
            ("../evil.jpg", tarfile.REGTYPE, ""),
            ("/tmp/evil.jpg", tarfile.REGTYPE, ""),
            ("car_ims/link", tarfile.SYMTYPE, "/tmp"),
            ("car_ims/pipe", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, to
            written.addfile(member)
        for member, data in members:
            written.addfile(member, io.BytesIO(data))
    prepared = prepare(cars196.main, root)
    prepared()
    written_files = {file.relative_to(prepared.out).as_posix() for file in prepared.files()}
    assert {row[1] for rows in read_tables(prepared.out).values() for row in rows} == {
        name.removeprefix("images/") for name in written_files if name.startswith("images/")
    }


def test_index_of_videos(tmp_path: Path) -> None:
    """Crops are written under the names of the index, which may come from another machine."""
    root = make_root(tmp_path / "ILSVRC2015")
    crop(root, tmp_path / "out")
    index = tmp_path / "out" / "index" / "val.npz"
    columns = dict(np.load(index))
    for column in ("folders", "names"):
        changed = columns | {column: np.array([b"../../../evil", *columns[column][1:]])}
        np.savez(tmp_path / "changed.npz", **changed)
        with pytest.raises(UserError, match="damaged"):
            read_index(tmp_path / "changed.npz")
    snippet = next((tmp_path / "out" / "crops" / "e").iterdir())
    snippet.rename(tmp_path / "outside")
    snippet.symlink_to(tmp_path / "outside")
    next((tmp_path / "outside").iterdir()).unlink()
    with pytest.raises(UserError, match="through a link"):
        crop(root, tmp_path / "out")
