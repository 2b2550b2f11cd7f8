"""Annotation files: parsed field by field, walked in sorted order, refused with their name when malformed."""

import pytest
from helpers.real_annotation import FOLDER, REAL, put

from dataset.vid.annotations import AnnotationError, Frame, VideoObject, annotation_files, read_frame, read_snippets
from dataset.vid.synthetic.render import annotation_xml
from runtime.errors import UserError


def test_reads_a_real_file(tmp_path):
    frame = read_frame(tmp_path, put(tmp_path, REAL))
    box = VideoObject(0, "n02691156", 592, 334, 659, 375, occluded=False, generated=True)
    assert frame == Frame("train", FOLDER, "000000", 1280, 720, (box,))
    assert frame.snippet == "ILSVRC2015_train_00555002"
    assert frame.image_file(tmp_path) == tmp_path / "Data" / "VID" / "train" / FOLDER / "000000.JPEG"


def test_the_written_form_is_the_real_one(tmp_path):
    assert annotation_xml(read_frame(tmp_path, put(tmp_path, REAL))) == REAL


def test_frame_without_objects(tmp_path):
    text = REAL[: REAL.index("\t<object>")] + "</annotation>"
    assert read_frame(tmp_path, put(tmp_path, text)).objects == ()


def test_objects_are_sorted_by_trackid(tmp_path):
    one = REAL[REAL.index("\t<object>") : REAL.index("</annotation>")]
    text = REAL.replace("</annotation>", one.replace("<trackid>0<", "<trackid>12<") + "</annotation>")
    text = text.replace("<trackid>0<", "<trackid>13<")
    assert [o.trackid for o in read_frame(tmp_path, put(tmp_path, text)).objects] == [12, 13]


@pytest.mark.parametrize("field", ["filename", "width", "height", "trackid", "name", "xmin", "xmax", "ymin", "ymax"])
def test_a_missing_field_is_named(tmp_path, field):
    text = "\n".join(line for line in REAL.splitlines() if f"<{field}>" not in line)
    with pytest.raises(AnnotationError, match=rf"000000\.xml.*{field}"):
        read_frame(tmp_path, put(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotation>", "", "malformed XML"),
        (REAL, "", "malformed XML"),
        ("<xmin>592<", "<xmin>left<", "xmin is 'left'"),
        ("<xmin>592<", "<xmin>nan<", "xmin is nan"),
        ("<xmax>659<", "<xmax>inf<", "xmax is inf"),
        ("<xmin>592<", "<xmin>659<", "box is empty"),
        ("<ymax>375<", "<ymax>300<", "box is empty"),
        ("<width>1280<", "<width>0<", "size/width is 0"),
        ("<trackid>0<", "<trackid>0.5<", "whole number"),
        ("<trackid>0<", "<trackid>-1<", "trackid is -1"),
        ("<filename>000000<", "<filename>000007<", "another frame"),
        ("</annotation>", REAL[REAL.index("\t<object>") :], "two objects with trackid 0"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, old, new, message):
    path = put(tmp_path, REAL.replace(old, new))
    with pytest.raises(AnnotationError, match=message) as caught:
        read_frame(tmp_path, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_walks_both_layouts_in_order_and_counts_what_it_leaves_out(tmp_path):
    for folder in ("ILSVRC2015_VID_train_0001/b", "ILSVRC2015_VID_train_0000/z", "ILSVRC2015_VID_train_0000/c"):
        for name in ("000010", "000002"):
            put(tmp_path, REAL, folder=folder, name=name)
    bad = put(tmp_path, "<annotation>", folder="ILSVRC2015_VID_train_0000/z", name="000005")
    put(tmp_path, REAL, split="val", folder="v")
    (bad.parent / "notes.txt").write_text("not an annotation")

    snippets, errors = read_snippets(tmp_path, "train")
    assert [snippet.name for snippet in snippets] == ["c", "z", "b"]
    assert [[frame.name for frame in snippet.frames] for snippet in snippets] == [["000002", "000010"]] * 3
    assert [str(bad) in str(error) for error in errors] == [True]
    assert [snippet.folder for snippet in read_snippets(tmp_path, "val")[0]] == ["v"]
    assert len(list(annotation_files(tmp_path, "train"))) == 7


def test_nothing_to_walk(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        read_snippets(tmp_path, "train")
    (tmp_path / "Annotations" / "VID" / "val").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no \.xml files"):
        read_snippets(tmp_path, "val")
