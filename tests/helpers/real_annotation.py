"""An annotation file as ImageNet VID has them."""

from pathlib import Path

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
FOLDER = "ILSVRC2015_VID_train_0002/ILSVRC2015_train_00555002"


def put(root: Path, text: str, split: str = "train", folder: str = FOLDER, name: str = "000000") -> Path:
    path = root / "Annotations" / "VID" / split / folder / f"{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("<filename>000000<", f"<filename>{name}<"))
    return path
