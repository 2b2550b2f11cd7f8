"""Reading one video from any two folders: which frames are taken, in which order, and what is said of the others."""

import numpy as np
import pytest
from helpers.snippet import HEIGHT, WIDTH, make_snippet
from PIL import Image

from dataset.vid.annotated_frames import read_annotated_frames
from runtime.errors import UserError


def test_what_cannot_be_used_is_left_out_and_told(tmp_path):
    pictures, annotations = make_snippet(tmp_path, [(0,)] * 6, names=["10", "9", "8", "7", "6", "5"])
    (annotations / "9.xml").write_text("<annotation>")
    (annotations / "8.xml").write_text((annotations / "8.xml").read_text().replace("<trackid>0", "<trackid>x"))
    (annotations / "7.xml").rename(annotations / "3.xml")
    picture = next(pictures.glob("6.*"))
    picture.write_bytes(picture.read_bytes()[:200])
    (pictures / "._10.JPEG").write_bytes(b"")  # of macOS
    frames, lines = read_annotated_frames(pictures, annotations)
    assert [f.frame.name for f in frames] == ["5", "8", "10"]
    assert [len(f.frame.objects) for f in frames] == [1, 0, 1]
    assert "pictures without annotation: 1, annotations without picture: 1" in lines[0]
    assert "8.xml: trackid is 'x'" in lines[1]
    assert str(picture) in lines[2]
    assert "9.xml: malformed XML" in lines[3]
    assert len(lines) == 4
    (pictures / "5.png").write_bytes(b"")
    with pytest.raises(UserError, match="two files for frame 5"):
        read_annotated_frames(pictures, annotations)


def test_the_size_of_most_frames_counts_not_that_of_the_first(tmp_path):
    pictures, annotations = make_snippet(tmp_path, [(0,)] * 4)
    first, xml = pictures / "000000.JPEG", annotations / "000000.xml"
    Image.new("RGB", (WIDTH * 2, HEIGHT)).save(first)
    xml.write_text(xml.read_text().replace(f"<width>{WIDTH}", f"<width>{WIDTH * 2}"))
    frames, lines = read_annotated_frames(pictures, annotations)
    assert [f.frame.name for f in frames] == ["000001", "000002", "000003"]
    assert lines == [f"frame left out: {first}: the picture is 240x80, most are 120x80"]


def test_pictures_of_16_bits_are_left_out(tmp_path):
    pictures, annotations = make_snippet(tmp_path, [(0,)] * 3)
    Image.fromarray(np.full((HEIGHT, WIDTH), 9000, np.uint16)).save(pictures / "000002.png")
    frames, lines = read_annotated_frames(pictures, annotations)
    assert len(frames) == 2
    assert lines == [f"frame left out: {pictures / '000002.png'}: 16 bits a channel; convert it to 8"]


def test_names_of_one_number_have_an_order(tmp_path):
    names = ["1", "001", "2", "01", "10"]
    pictures, annotations = make_snippet(tmp_path, [(0,)] * 5, names=names)
    frames, _ = read_annotated_frames(pictures, annotations)
    assert [f.frame.name for f in frames] == ["001", "01", "1", "2", "10"]


def test_annotations_of_another_snippet_are_refused(tmp_path):
    pictures, annotations = make_snippet(tmp_path, pictures="ILSVRC2015_val_00008000")
    for file in annotations.iterdir():
        file.write_text(file.read_text().replace("<folder>s<", "<folder>ILSVRC2015_val_00012000<"))
    with pytest.raises(
        UserError, match="it is of ILSVRC2015_val_00012000, but the pictures are in ILSVRC2015_val_00008"
    ):
        read_annotated_frames(pictures, annotations)
    for file in annotations.iterdir():
        file.write_text(file.read_text().replace("val_00012000", "val_00008000"))
    assert len(read_annotated_frames(pictures, annotations)[0]) == 4
