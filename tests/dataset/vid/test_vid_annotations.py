"""Annotation files, alone and with the pictures of one video: unusable ones are skipped and reported."""

from pathlib import Path

import numpy as np
import pytest
from helpers.vid_tree import HEIGHT, WIDTH, edit, make_snippet, thing
from PIL import Image

from dataset.vid.annotated_frames import read_annotated_frames
from dataset.vid.annotations import Frame, parse_frame
from dataset.vid.synthetic.render import annotation_xml
from runtime.errors import UserError

# The layout of a real file of ILSVRC2015_VID_train_0002.
REAL = """<annotation>
\t<folder>ILSVRC2015_VID_train_0002/ILSVRC2015_train_00555002</folder>
\t<filename>000000</filename>
\t<source>
\t\t<database>ILSVRC_2015</database>
\t</source>
\t<size>
\t\t<width>1280</width>
\t\t<height>720</height>
\t</size>
\t<object>
\t\t<trackid>0</trackid>
\t\t<name>n02691156</name>
\t\t<bndbox>
\t\t\t<xmax>659</xmax>
\t\t\t<xmin>592</xmin>
\t\t\t<ymax>375</ymax>
\t\t\t<ymin>334</ymin>
\t\t</bndbox>
\t\t<occluded>0</occluded>
\t\t<generated>1</generated>
\t</object>
</annotation>
"""
OBJECT = REAL[REAL.index("\t<object>") : REAL.index("</annotation>")]
BOX = thing(0, (592, 334, 659, 375), "n02691156", generated=True)
FOLDER = "ILSVRC2015_VID_train_0002/ILSVRC2015_train_00555002"


def put(folder: Path, text: str) -> Path:
    (folder / "000000.xml").write_text(text)
    return folder / "000000.xml"


def test_reads_a_real_file_which_is_as_ours_are_written(tmp_path):
    frame, problems = parse_frame(put(tmp_path, REAL), "train", FOLDER)
    assert (frame, problems) == (Frame("train", FOLDER, "000000", 1280, 720, (BOX,)), [])
    assert frame.snippet == "ILSVRC2015_train_00555002"
    assert frame.image_file(tmp_path) == tmp_path / "Data" / "VID" / "train" / FOLDER / "000000.JPEG"
    assert annotation_xml(frame) == REAL


@pytest.mark.parametrize("trackids", [[], [13, 12, 0]])
def test_objects_are_sorted_by_trackid(tmp_path, trackids):
    objects = "".join(OBJECT.replace("<trackid>0<", f"<trackid>{trackid}<") for trackid in trackids)
    frame, _ = parse_frame(put(tmp_path, REAL.replace(OBJECT, objects)))
    assert [o.trackid for o in frame.objects] == sorted(trackids)


def check_fault(path, kind, message, costs_the_frame):
    frame, (problem,) = parse_frame(path)
    assert (problem.file, problem.kind) == (str(path), kind)
    assert message in problem.problem
    assert "\n" not in str(problem)
    assert len(problem.problem) <= 300
    assert frame is None if costs_the_frame else frame.objects == ()


@pytest.mark.parametrize(
    "field", ["filename", "width", "height", "trackid", "name", "xmin", "xmax", "ymin", "ymax", "occluded", "generated"]
)
def test_a_missing_field_is_named(tmp_path, field):
    text = "\n".join(line for line in REAL.splitlines() if f"<{field}>" not in line)
    check_fault(put(tmp_path, text), f"no {field}", field, field in ("filename", "width", "height"))


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        # Faults of the frame.
        ("</annotation>", "", "malformed XML", "malformed XML: no element found"),
        (REAL, "", "malformed XML", "malformed XML"),
        (REAL, "\x00\x01", "malformed XML", "malformed XML"),
        (REAL, '<?xml version="1.0" encoding="klingon"?><annotation/>', "malformed XML", "klingon"),
        ("<filename>000000<", "<filename>000007<", "another frame's name", "'000007', the name of another frame"),
        ("<filename>000000<", f"<filename>{'7' * 999}<", "another frame's name", "7777"),
        ("<width>1280<", "<width>wide<", "unusable width", "size/width is 'wide'; it must be a number"),
        ("<width>1280<", "<width>1e12<", "unusable width", "it must be between 1 and 1,000,000"),
        ("<height>720<", "<height>0<", "unusable height", "size/height is 0"),
        ("</annotation>", OBJECT + "</annotation>", "a trackid twice in a frame", "two objects with trackid 0"),
        # Faults of an object, which skip only that object.
        ("<occluded>0<", "<occluded>perhaps<", "unusable occluded", "trackid 0: occluded is 'perhaps'"),
        ("<trackid>0<", "<trackid>99999999999999999999<", "unusable trackid", "trackid is 1e+20"),
        ("<trackid>0<", "<trackid>0.5<", "unusable trackid", "whole number"),
        ("<trackid>0<", "<trackid>-1<", "unusable trackid", "trackid is -1"),
        ("<xmin>592<", "<xmin>left<", "unusable xmin", "xmin is 'left'"),
        ("<xmin>592<", "<xmin>nan<", "unusable xmin", "xmin is nan"),
        ("<xmax>659<", "<xmax>inf<", "unusable xmax", "xmax is inf"),
        ("<xmax>659<", "<xmax>1e300<", "unusable xmax", "xmax is 1e+300"),
        ("<xmin>592<", "<xmin>659<", "empty box", "its box is empty: x 659 to 659"),
        ("<ymax>375<", "<ymax>300<", "empty box", "y 334 to 300"),
        ("<name>n02691156<", "<name> <", "no name", "trackid 0: object without name"),
    ],
)
def test_a_fault_is_reported(tmp_path, old, new, kind, message):
    costs_the_frame = old not in OBJECT
    check_fault(put(tmp_path, REAL.replace(old, new)), kind, message, costs_the_frame)


def test_other_encodings_and_no_file(tmp_path):
    """A file may be UTF-16 if it says so. A file that is not UTF-8 and does not say so is malformed."""
    path = put(tmp_path, REAL)
    path.write_bytes(REAL.encode("utf-16"))
    assert parse_frame(path)[0].objects == (BOX,)
    path.write_bytes(REAL.replace("ILSVRC_2015", "\xe9").encode("latin-1"))
    check_fault(path, "malformed XML", "malformed XML", costs_the_frame=True)
    check_fault(tmp_path, "cannot be read", "this is a folder", costs_the_frame=True)


def test_unusable_frames_are_skipped_and_reported(tmp_path):
    pictures, annotations = make_snippet(tmp_path, [(0,)] * 6, names=["10", "9", "8", "7", "6", "5"])
    (annotations / "9.xml").write_text("<annotation>")
    edit(annotations / "8.xml", "<trackid>0", "<trackid>x")
    (annotations / "7.xml").rename(annotations / "3.xml")
    picture = next(pictures.glob("6.*"))
    picture.write_bytes(picture.read_bytes()[:200])
    (pictures / "._10.JPEG").write_bytes(b"")  # of macOS
    frames, lines = read_annotated_frames(pictures, annotations)
    assert [f.frame.name for f in frames] == ["5", "8", "10"]
    assert [len(f.frame.objects) for f in frames] == [1, 0, 1]
    assert "skipped 1 picture without annotation, 1 annotation without picture" in lines[0]
    assert "8.xml: trackid is 'x'" in lines[1]
    assert str(picture) in lines[2]
    assert "9.xml: malformed XML" in lines[3]
    assert len(lines) == 4
    (pictures / "5.png").write_bytes(b"")
    with pytest.raises(UserError, match="two files for frame 5"):
        read_annotated_frames(pictures, annotations)


def test_pictures_of_another_size_than_most_or_of_16_bits_are_skipped(tmp_path):
    """Names with equal numbers have an order too."""
    pictures, annotations = make_snippet(tmp_path, [(0,)] * 5, names=["2", "001", "3", "01", "10"])
    Image.new("RGB", (WIDTH * 2, HEIGHT)).save(pictures / "2.JPEG")
    edit(annotations / "2.xml", f"<width>{WIDTH}", f"<width>{WIDTH * 2}")
    Image.fromarray(np.full((HEIGHT, WIDTH), 9000, np.uint16)).save(pictures / "3.png")
    frames, lines = read_annotated_frames(pictures, annotations)
    assert [f.frame.name for f in frames] == ["001", "01", "10"]
    assert sorted(lines) == [
        f"skipped frame: {pictures / '2.JPEG'}: the picture is 240x80, but most are 120x80",
        f"skipped frame: {pictures / '3.png'}: 16 bits per channel; convert it to 8",
    ]


def test_annotations_of_another_snippet_are_refused(tmp_path):
    pictures, annotations = make_snippet(tmp_path, pictures="ILSVRC2015_val_00008000")
    for file in annotations.iterdir():
        edit(file, "<folder>s<", "<folder>ILSVRC2015_val_00012000<")
    told = "it is of ILSVRC2015_val_00012000, but the pictures are in ILSVRC2015_val_00008"
    with pytest.raises(UserError, match=told):
        read_annotated_frames(pictures, annotations)
    for file in annotations.iterdir():
        edit(file, "val_00012000", "val_00008000")
    assert len(read_annotated_frames(pictures, annotations)[0]) == 4
