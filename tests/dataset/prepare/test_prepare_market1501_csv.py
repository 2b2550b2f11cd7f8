"""Preparing Market-1501 and DukeMTMC-reID, which have the same three folders, and lists of other tools."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.preparing import Preparation, linked_identities
from helpers.reid_trees import make_dukemtmc, make_market1501, person, save
from PIL import Image

from dataset.formats.camera_names import CAMERA_IN_NAME
from dataset.prepare import dukemtmc, market1501
from dataset.prepare.csv import main as prepare_csv
from dataset.sources.counts import count
from dataset.sources.layout import FOLDERS
from dataset.sources.names import FORMS, parse_names


@pytest.fixture
def market(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """4 + 4 identities, 3 cameras, 2 images each, 4 of junk and 4 distractors, in a folder with a space."""
    tree = make_market1501(tmp_path / "my Market", images=2)
    return Preparation(market1501.main, capsys, tree, tmp_path / "out")


def test_prepared_data_set(market: Preparation) -> None:
    said, tables, info = market(), market.tables(), market.info()
    assert market.sizes() == {"train.csv": 24, "query.csv": 12, "gallery.csv": 32, "multi_query.csv": 24}
    for name, folder in FOLDERS.items():
        assert [row[1] for row in tables[name]] == sorted(
            f"{folder}/{f.name}" for f in (market.root / folder).iterdir() if f.suffix == ".jpg"
        )
        for identity, path, camera, sequence in tables[name]:  # the name read by position
            stem = Path(path).name
            where = stem.index("_c") + 2
            assert (identity, camera, sequence) == (stem[: where - 2], stem[where], stem[: where + 3])
        assert not linked_identities(tables[name])
    assert [row[0] for row in tables["gallery.csv"]].count("-1") == 4
    assert [row[0] for row in tables["gallery.csv"]].count("0000") == 4
    assert any(row[1].endswith(".jpg.jpg") for row in tables["gallery.csv"])

    counts = info["counts"]
    assert info["image_root"] == market.root.as_posix()
    assert counts["train_identities"] == counts["gallery_identities"] == 4
    assert counts["gallery_junk_images"] == counts["gallery_distractor_images"] == 4
    assert counts["other_files_left_out"] == {".db": 1}
    assert counts["published_but_different"] == market1501.BENCHMARK.published
    assert counts["queries_without_match"] == 0
    assert market.evaluation_sets() == {"query_gallery": "query_gallery"}
    assert "train images: 24 here, 12936 published" in said
    assert "skipped other files: 1 .db" in said


def test_prepared_duke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_dukemtmc(tmp_path / "duke", train=3, test=4)
    prepare = Preparation(dukemtmc.main, capsys, tree, tmp_path / "out")
    assert "gallery images: 18 here, 17661 published" in prepare()
    counts = prepare.info()["counts"]
    assert prepare.sizes() == {"train.csv": 12, "query.csv": 8, "gallery.csv": 18}
    assert prepare.tables()["query.csv"][0] == ("0001", "query/0001_c1_f0046000.jpg", "1")
    assert (counts["train_identities"], counts["query_identities"], counts["gallery_identities"]) == (3, 4, 6)


def test_multi_query_rows_stand_together_if_there_are_any(market: Preparation) -> None:
    for file in (market.root / "query").glob("0001_c1*"):  # a pair of identity and camera without a query
        file.unlink()
    market()
    pairs = [(row[0], row[2]) for row in market.tables()["multi_query.csv"]]
    assert len(pairs) == 22
    assert set(pairs) == {(row[0], row[2]) for row in market.tables()["query.csv"]}
    assert pairs == sorted(pairs)
    shutil.rmtree(market.root / "gt_bbox")
    market.out = market.out.with_name("other")
    assert "no multi_query.csv" in market("--out", market.out)
    assert "multi_query.csv" not in market.tables()


def test_a_list_of_broken_images(market: Preparation) -> None:
    whole, *others = sorted((market.root / "query").iterdir())
    for file in others:
        file.write_bytes(b"")
    assert "skipped 11 broken images" in market("--skip_broken")
    assert market.sizes()["query.csv"] == 1
    whole.write_bytes(b"")
    assert "every image of query.csv is broken" in market.refused("--skip_broken")


def test_queries_without_a_match_and_shared_identities_are_reported(market: Preparation) -> None:
    for camera in (2, 3):
        for file in (market.root / "bounding_box_test").glob(f"0001_c{camera}*"):
            file.unlink()
    Image.new("RGB", (8, 16)).save(market.root / "bounding_box_train" / "0003_c1s1_000001_00.jpg")
    said = market()
    assert "1 query without a match" in said  # that of camera 1; the others find its images
    assert "1 identity in train.csv and in an evaluation set: 0003;" in said


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda tree: shutil.rmtree(tree), "no such folder"),
        (lambda tree: shutil.rmtree(tree / "query"), "there is no query in it"),
        (lambda tree: [f.unlink() for f in (tree / "query").iterdir()], "no JPEG or PNG images"),
        (lambda tree: (tree / "query" / "me.jpg").touch(), "1 of 13 images are not named as in Market-1501"),
        (lambda tree: (tree / "query" / "-1_c1s1_000001_00.jpg").touch(), "junk or distractors"),
    ],
)
def test_unusable_trees(market: Preparation, damage: Callable[[Path], object], message: str) -> None:
    damage(market.root)
    assert message in market.refused()
    assert not market.out.exists()


def test_the_folder_above_and_another_data_set(market: Preparation, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"did you mean --root {market.root}?" in market.refused("--root", market.root.parent)
    duke = Preparation(dukemtmc.main, capsys, market.root, market.out)
    assert "Market-1501: use python -m dataset.prepare.market1501" in duke.refused()
    assert not market.out.exists()


@pytest.mark.parametrize("form", FORMS)
def test_an_example_has_one_form_only(form: str) -> None:
    name = FORMS[form].example
    assert [key for key, each in FORMS.items() if each.match(name)] == [form]
    ((_, camera, *_),) = parse_names([name], form, "here")
    excluder = "duke" if form == "dukemtmc" else form
    if excluder in CAMERA_IN_NAME:
        assert CAMERA_IN_NAME[excluder].search(name)[1] == camera
        assert [key for key in CAMERA_IN_NAME if CAMERA_IN_NAME[key].search(name)] == [excluder]


@pytest.mark.parametrize(
    ("form", "benchmark", "cameras"),
    [("market1501", market1501.BENCHMARK, "123456"), ("dukeMTMC", dukemtmc.BENCHMARK, "12345678")],
)
def test_published_lists(shared_data: Path, form: str, benchmark: object, cameras: str) -> None:
    """The real names give the published counts, and the identities of the older tools' lists."""
    tables = {}
    for table, part in (("train", "train"), ("query", "query"), ("gallery", "test")):
        with open(shared_data / "reid_lists" / f"{form}_{part}.csv", newline="") as file:
            listed = list(csv.reader(file))
        labels = parse_names([path.split("/")[-1] for _, path in listed], form.lower(), part)
        assert [identity for identity, *_ in labels] == [identity for identity, _ in listed]
        rows = [(identity, path, *rest) for (_, path), (identity, *rest) in zip(listed, labels, strict=True)]
        assert {row[2] for row in rows} == set(cameras)
        assert form == "dukeMTMC" or not linked_identities(rows)
        tables[f"{table}.csv"] = rows
    counts = count(tables)
    assert {name: counts[name] for name in benchmark.published} == benchmark.published
    assert counts["queries_without_match"] == 0


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preparation:
    """Images of 4 identities, in folders with a space and an umlaut."""
    root = tmp_path / "my images"
    for identity in range(4):
        for number in range(3):
            save(root / f"größe {identity}" / f"{number}.jpg", person(identity, 1, number))
    return Preparation(prepare_csv, capsys, root, tmp_path / "out", option="--image_root")


def rows_of(*identities: int) -> list[str]:
    return [f"p{identity},größe {identity}/{number}.jpg" for identity in identities for number in range(3)]


def write(file: Path, *lines: str) -> Path:
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return file


def test_train_and_test(prepare: Preparation, tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", *rows_of(0, 1))
    test = write(tmp_path / "test.csv", "identity,path", *rows_of(2, 3))
    for _ in range(2):
        assert "published" not in prepare("--train", train, "--test", test, "--licence", "CC0")
    tables, info = prepare.tables(), prepare.info()
    assert [",".join(row) for row in tables["train.csv"]] == rows_of(0, 1)
    assert [",".join(row) for row in tables["test.csv"]] == rows_of(2, 3)
    assert (info["licence"], info["image_root"]) == ("CC0", prepare.root.as_posix())
    assert info["counts"]["train_identities"] == 2
    assert prepare.evaluation_sets() == {"test": "all_vs_all"}


@pytest.mark.parametrize(
    ("excluder", "make", "own_main", "other"),
    [("market1501", make_market1501, market1501.main, "duke"), ("duke", make_dukemtmc, dukemtmc.main, "mars")],
)
def test_cameras_of_file_names(
    tmp_path: Path, capsys, excluder: str, make: Callable[..., Path], own_main: Callable[..., int], other: str
) -> None:
    """Lists of older tools give the same as the preparation of the data set."""
    root, lists = make(tmp_path / "tree", train=2, test=2, images=2), []
    for name, folder in (("train", "bounding_box_train"), ("query", "query"), ("gallery", "bounding_box_test")):
        files = sorted(f.name for f in (root / folder).iterdir() if f.suffix == ".jpg")
        lists += [f"--{name}", write(tmp_path / f"{name}.csv", *(f"{f.split('_')[0]},{folder}/{f}" for f in files))]
    prepare = Preparation(prepare_csv, capsys, root, tmp_path / "out", *lists, option="--image_root")
    own = Preparation(own_main, capsys, root, tmp_path / "own")
    assert "has no camera in the form of" in prepare.refused("--excluder", other)
    prepare("--excluder", excluder)
    own()
    for name, rows in prepare.tables().items():
        assert rows == [row[:3] for row in own.tables()[name]]


def test_own_cameras_are_kept_for_evaluation_only(prepare: Preparation, tmp_path: Path) -> None:
    query = write(tmp_path / "q.csv", "identity,path,camera,sequence", "p2,größe 2/0.jpg,left,s1")
    gallery = write(tmp_path / "g.csv", "identity,path,camera", "p2,größe 2/1.jpg,right", "p3,größe 3/1.jpg,left")
    assert "for evaluation only" in prepare("--query", query, "--gallery", gallery, "--excluder", "mars")
    assert prepare.tables()["query.csv"] == [("p2", "größe 2/0.jpg", "left", "s1")]


def test_backslashes(prepare: Preparation, tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", *(line.replace("/", "\\") for line in rows_of(0)), *rows_of(1))
    assert "replaced backslashes by slashes in 3 of 6 paths" in prepare("--train", train)
    assert [",".join(row) for row in prepare.tables()["train.csv"]] == rows_of(0, 1)


@pytest.mark.parametrize(
    ("words", "train", "test", "message"),
    [
        ([], None, None, "there is no list"),
        (["--query", "train.csv"], ["p0,größe 0/0.jpg"], None, "--gallery is missing"),
        (["--gallery", "train.csv"], None, None, "--query is missing"),
        (["--train", "gone.csv"], None, None, "gone.csv: no such file"),
        (["--train", "."], None, None, "this is a folder"),
        (["--image_root", "gone"], ["p0,größe 0/0.jpg"], None, "--image_root"),
        ([], [], None, "no images in it"),
        ([], ["identity,path"], None, "no images in it"),
        ([], ["p0,größe 0/0.jpg", "p0,größe 0/0.jpg"], None, "is already in row 1"),
        ([], ["p0,größe 0/0.jpg", "p0,größe 0\\0.jpg"], None, "images 1 and 2 are the same"),
        ([], ["p0,größe 0/0.jpg", "p0,./größe 0//0.jpg"], None, "images 1 and 2 are the same"),
        ([], ["p0"], None, "1 fields instead of 2"),
        ([], [",größe 0/0.jpg"], None, "empty identity"),
        ([], ["p0,/data/größe 0/0.jpg"], None, "0.jpg' is an absolute path"),
        ([], ["p0,images/../../p 0/0.jpg"], None, "leads outside its folder"),
        ([], ["p0,C:\\data\\0.jpg"], None, "0.jpg' is an absolute path"),
        ([], ["p0,nowhere/0.jpg"], None, "check that the paths start in this folder"),
        ([], ["p0,größe 0/0.jpg"], ["p5,größe 0/0.jpg", "p1,größe 1/0.jpg"], "share 1 image (such as größe 0/0.jpg)"),
    ],
)
def test_lists_that_are_refused(
    prepare: Preparation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words, train, test, message
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, lines in (("train", train), ("test", test)):
        words = words if lines is None else [*words, f"--{name}", write(tmp_path / f"{name}.csv", *lines)]
    assert message in prepare.refused(*words)
    assert not prepare.out.exists()
