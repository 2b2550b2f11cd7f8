"""A tiny annotated video: coloured squares that wander to the right."""

from pathlib import Path

import numpy as np
from PIL import Image

from dataset.vid.annotations import Frame, VideoObject
from dataset.vid.synthetic.render import annotation_xml

WIDTH, HEIGHT = 120, 80
COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
# Trackids by frame: number 2 is away for a frame, and a frame has nobody.
PRESENT = [(0, 1, 2), (0, 1), (), (0, 1, 2)]


def make_snippet(folder, present=PRESENT, names=None, size=(WIDTH, HEIGHT), pictures="frames <1>") -> tuple[Path, Path]:
    """DIR/<pictures> and DIR/xml; the third square reaches beyond the frame. `size` is what the annotations say."""
    pictures, annotations = folder / pictures, folder / "xml"
    pictures.mkdir(parents=True)
    annotations.mkdir()
    random = np.random.default_rng(0)
    for i, ids in enumerate(present):
        name = names[i] if names else f"{i:06d}"
        picture = Image.fromarray(random.integers(90, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        objects = []
        for k in ids:
            box = (5 + 40 * k + 3 * i, 20, 35 + 40 * k + 3 * i, 50)
            picture.paste(COLOURS[k], tuple(map(int, box)))
            objects.append(VideoObject(k, "n01503061", *map(float, box), occluded=k == 1, generated=False))
        picture.save(pictures / f"{name}.{['JPEG', 'jpg', 'png', 'JPG'][i % 4]}")
        (annotations / f"{name}.xml").write_text(annotation_xml(Frame("val", "s", name, *size, tuple(objects))))
    return pictures, annotations
