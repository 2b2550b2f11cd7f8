"""Lists, episodes and their attributes: writing, reading, errors; a prepared data set; atomic writing."""

import numpy as np
import pytest

from dataset.formats.episodes import read_attributes, read_episodes, write_attributes, write_episodes
from dataset.formats.manifest import read_manifest, write_manifest
from dataset.formats.prepared import open_prepared
from model.evaluation.sets import find_evaluation_sets
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.json_files import append_json_line, read_json_lines


def test_round_trip(tmp_path):
    file = tmp_path / "list.csv"
    rows = [("a, b", 'x/ä "1".jpg', "c1", "s"), ("-1", "y.png", "", "")]
    write_manifest(file, rows)
    assert file.read_bytes().startswith(b"identity,path,camera,sequence\n")
    manifest = read_manifest(file, tmp_path / "images")
    columns = (manifest.identities, manifest.paths, manifest.cameras, manifest.sequences)
    assert list(zip(*columns, strict=True)) == rows
    assert manifest.files()[1] == f"{tmp_path}/images/y.png"
    assert list(manifest.select(np.array([1])).paths) == ["y.png"]


def test_older_headerless_form_and_byte_order_mark(tmp_path):
    file = tmp_path / "list.csv"
    file.write_bytes(b"\xef\xbb\xbf0001,0001/a.jpg\r\n0002,0002/b.jpg\r\n\r\n")
    manifest = read_manifest(file, tmp_path)
    assert list(manifest.identities) == ["0001", "0002"]
    assert manifest.cameras is None


def test_episodes_round_trip(tmp_path):
    file = tmp_path / "e.csv"
    written = [("a.jpg", "p.jpg", ["n.jpg", "m.jpg"]), ("p.jpg", "a.jpg", ["n.jpg"])]
    write_episodes(file, written)
    episodes = read_episodes(file, tmp_path)
    paths = episodes.paths
    assert len(paths) == 4  # each image once
    negatives = [list(paths[own]) for own in np.split(episodes.negatives, episodes.offsets[1:-1])]
    assert list(zip(paths[episodes.anchors], paths[episodes.positives], negatives, strict=True)) == written


def test_prepared_data_set(dataset, tmp_path, monkeypatch):
    prepared = open_prepared(str(dataset))
    kinds = {each.name: each.kind for each in find_evaluation_sets(prepared.folder)}
    assert kinds == {"val_eval": "episodes", "query_gallery": "query_gallery", "test": "all_vs_all"}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "named").symlink_to(dataset)
    monkeypatch.setattr("runtime.plugins.ROOT", tmp_path)  # found from any folder
    assert open_prepared("named").folder.name == "named"
    with pytest.raises(UserError, match="did you mean 'named'"):
        open_prepared("name")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert open_prepared("named").folder.name == "named"
    with pytest.raises(UserError, match=r"no other/dataset.json nor data/other/dataset.json"):
        open_prepared("other")


def test_prepared_data_set_without_its_parts_and_with_two_of_one_name(own_dataset):
    (own_dataset / "gallery.csv").unlink()
    with pytest.raises(UserError, match=r"a query.csv but no gallery.csv"):
        find_evaluation_sets(own_dataset)
    (own_dataset / "query.csv").unlink()
    (own_dataset / "episodes" / "val_eval.csv").rename(own_dataset / "episodes" / "test.csv")
    with pytest.raises(UserError, match="the name 'test' is taken"):
        find_evaluation_sets(own_dataset)
    (own_dataset / "dataset.json").write_text('{"name": "x"}')
    with pytest.raises(UserError, match="image_root"):
        open_prepared(str(own_dataset))


def test_files_appear_only_when_complete(tmp_path):
    file = tmp_path / "new folder" / "a.txt"
    with replace_file(file) as out:
        out.write("one")
    with pytest.raises(UnicodeEncodeError), replace_file(file) as out:
        out.write("half \udcff")
    assert file.read_text() == "one"
    assert [f.name for f in file.parent.iterdir()] == ["a.txt"]
    with pytest.raises(UserError, match="cannot write"), replace_file(file / "b.txt") as out:
        out.write("x")


def test_half_a_json_line_is_cut_off(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"st')  # the writer was killed here
    append_json_line(file, {"step": 1})
    with open(file, "a") as out:
        out.write('{"step": 2, "lo')
    assert read_json_lines(file) == [{"step": 1}]
    append_json_line(file, {"step": 3})
    assert read_json_lines(file) == [{"step": 1}, {"step": 3}]


NAMES = np.array(["0", "1", "2"], dtype=object)


def test_attributes_are_read_in_the_order_of_the_episodes(tmp_path, dataset):
    path = tmp_path / "attributes" / "val.csv"
    columns = {"snippet": ["a, b", "ü", "a, b"], "category": ["n1", "n2", "n1"], "gap": np.array([1, 20, 3])}
    write_attributes(path, columns)
    assert path.read_text(encoding="utf-8").splitlines()[:2] == ["episode,snippet,category,gap", '0,"a, b",n1,1']
    read = read_attributes(path, NAMES[[2, 0, 1]])
    assert {name: values.tolist() for name, values in read.items()} == {
        "snippet": ["a, b", "a, b", "ü"],
        "category": ["n1", "n1", "n2"],
        "gap": ["3", "1", "20"],
    }
    assert read_episodes(dataset / "episodes" / "val_eval.csv", dataset).attributes == {}


ROLES = "episode,role,path\n"


def read_list(file):
    return read_manifest(file, file.parent)


def read_set(file):
    return read_episodes(file, file.parent)


def read_three(file):
    return read_attributes(file, NAMES)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_list, None, "no such file"),
        (read_list, b"a,\xff\xfe.jpg\n", "UTF-8"),
        (read_list, b'a,"x\n', "malformed CSV"),
        (read_list, "", "no images"),
        (read_list, "identity,path\n", "no images"),
        (read_list, "identity,path\na,x.jpg\nb\n", "row 3: 1 fields instead of 2"),
        (read_list, "a,x.jpg,c\n", "row 1: 3 fields"),
        (read_list, "identity,path\n,x.jpg\n", "row 2: empty identity"),
        (read_list, "identity,path\na,\n", "row 2: empty path"),
        (read_list, "identity,path\na,x.jpg\nb,x.jpg\n", "row 3: 'x.jpg' is already in row 2"),
        (read_list, "identity,path,colour\na,x.jpg,red\n", "header"),
        (read_list, "path,identity\nx.jpg,a\n", "header is 'path,identity'"),
        (read_list, "Identity, Path\na,x.jpg\n", "header is 'Identity, Path'"),
        (read_set, ROLES, "no episodes"),
        (read_set, ROLES + "0,anchor,a\n0,positive,b\n", "0 negative"),
        (read_set, ROLES + "0,anchor,a\n0,anchor,c\n0,positive,b\n0,negative,d\n", "2 anchor"),
        (read_set, ROLES + "0,anchor,a\n0,friend,b\n", "row 3: role 'friend'"),
        (read_set, ROLES + "0,anchor\n", "row 2: 2 fields"),
        (read_set, ROLES + "0,anchor,a\n0,positive,a\n0,negative,b\n", "one image in two roles"),
        (read_set, ROLES + "0,anchor,a\n0,positive,b\n0,negative,b\n", "one image in two roles"),
        (read_three, "", "the first line must be episode,<name>,<name>..."),
        (read_three, "0,a\n1,b\n2,c\n", "the first line must be episode"),
        (read_three, "episode\n0\n1\n2\n", "the first line must be episode"),
        (read_three, "episode,a,\n0,1,\n", "the first line must be episode"),
        (read_three, "episode,a,b,a\n", "the column 'a' is there 2 times"),
        (read_three, "episode,episode\n", "the column 'episode' is there 2 times"),
        (
            read_three,
            "episode,candidates\n0,1\n1,1\n2,1\n",
            "the column name 'candidates' is reserved for the number of",
        ),
        (read_three, "episode,a\n0,1\n1\n", r"row 3: 1 fields instead of 2 \(episode,a\)"),
        (read_three, "episode,a\n0,1\n1,2,3\n", "row 3: 3 fields instead of 2"),
        (read_three, "episode,a\n0,\n", "row 2: empty a"),
        (read_three, "episode,a\n0,1\n1,1\n0,1\n2,1\n", "row 4: episode '0' already has a row"),
        (read_three, "episode,a\n0,1\n1,1\n2,1\n3,1\n", "row 5: there is no episode '3'"),
        (read_three, "episode,a\n0,1\n", r"episode '1' has no row \(and 1 more have none\)"),
        (read_three, "episode,a\n0,1\n2,1\n", "episode '1' has no row; add"),
    ],
)
def test_errors_are_one_line(tmp_path, read, text, message):
    file = tmp_path / "list.csv"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as error:
        read(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)
