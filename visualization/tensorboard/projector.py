"""Writes the files of TensorBoard's embedding projector: vectors, labels, and a small picture of each image.

TensorBoard looks for `projector_config.pbtxt` in every folder with events. The images and their small pictures stay the
same for all checkpoints; only the vectors are rewritten. So TensorBoard never finds files that do not fit together.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from runtime.files import replace_file
from runtime.printable import printable
from visualization.kit.thumbnails import open_small
from visualization.sources.embedded_set import Points

CONFIG, VECTORS, LABELS, SPRITE = "projector_config.pbtxt", "vectors.tsv", "labels.tsv", "images.png"
_LARGEST_SPRITE = 8192  # pixels of a side that browsers accept
_SIDE = 64  # pixels of an image in it


class Projector:
    """Writes the files of a set; the first call of `write` chooses the images.

    Attributes:
        shown: number of images.
        pictures: how many of them have a small picture.
    """

    def __init__(self, folder: Path, images: int, seed: int) -> None:
        """Args:
        folder: the set's folder of events. All files but `projector_config.pbtxt` go to `projector/` in it.
        images: number of images, at most.
        seed: random seed of their choice.
        """
        self._folder, self._images, self._seed = folder, images, seed
        self._chosen: np.ndarray | None = None
        self.shown = self.pictures = 0

    def write(self, query: Points, gallery: Points, name: str) -> None:
        """Writes the vectors; the first call also writes labels and pictures.

        Args:
            query, gallery: the images; the same object for one set.
            name: TensorBoard's name for the vectors.

        Raises:
            UserError: when a file cannot be written.
        """
        sides = {"all": query} if gallery is query else {"query": query, "gallery": gallery}
        images = [(role, points, index) for role, points in sides.items() for index in range(len(points))]
        chosen = self._chosen
        if chosen is None:
            chosen = self._choose([points.identities[index] for _, points, index in images])
            (self._folder / CONFIG).unlink(missing_ok=True)  # its vectors may be of other images
            self.pictures = _write_pictures([images[place] for place in chosen], self._folder / "projector")
            self._chosen, self.shown = chosen, len(chosen)
        with replace_file(self._folder / "projector" / VECTORS) as file:
            for place in chosen:
                _, points, index = images[place]
                file.write("\t".join(map("{:.6g}".format, points.emb[index].tolist())) + "\n")
        side, quoted = _side(len(chosen)), name.replace("\\", "\\\\").replace('"', '\\"')
        sprite = f'image_path: "projector/{SPRITE}" single_image_dim: {side} single_image_dim: {side}'
        with replace_file(self._folder / CONFIG) as file:  # last: now all files that it names exist
            file.write(
                "embeddings {\n"
                f'  tensor_name: "{quoted}"\n'
                f'  tensor_path: "projector/{VECTORS}"\n'
                f'  metadata_path: "projector/{LABELS}"\n'
                + (f"  sprite {{ {sprite} }}\n" if self.pictures else "")
                + "}\n"
            )

    def _choose(self, identities: list[str]) -> np.ndarray:
        """Images of as few identities as possible, to show whether these stay together; random images if unlabelled."""
        labels = identities if any(identities) else range(len(identities))
        names, codes = np.unique(labels, return_inverse=True)
        turn = np.random.default_rng(self._seed).permutation(len(names))[codes]  # (N,) which identity comes when
        return np.sort(np.argsort(turn, kind="stable")[: self._images])


def _write_pictures(chosen: list[tuple[str, Points, int]], folder: Path) -> int:
    """Writes labels and, if the place of the images is known, small pictures; returns the number of pictures."""
    side, across = _side(len(chosen)), _across(len(chosen))
    labelled = any(points.identities[index] for _, points, index in chosen)
    with replace_file(folder / LABELS) as file:
        file.write("identity\tfile\tset\n" if labelled else "file\tset\n")
        for role, points, index in chosen:
            cells = ([points.identities[index]] if labelled else []) + [points.paths[index], role]
            file.write("\t".join(printable(cell) for cell in cells) + "\n")
    sprite, found = Image.new("RGB", (across * side, across * side), "white"), 0
    for place, (_, points, index) in enumerate(chosen):
        picture = open_small(points.files[index], side) if points.files else None
        found += picture is not None
        picture = picture or Image.new("RGB", (side, side), "grey")
        x, y = place % across * side, place // across * side
        sprite.paste(picture, (x + (side - picture.width) // 2, y + (side - picture.height) // 2))
    if found:
        with replace_file(folder / SPRITE, "wb") as file:
            sprite.save(file, "PNG")
    else:
        (folder / SPRITE).unlink(missing_ok=True)
    return found


def _across(count: int) -> int:
    return math.isqrt(count - 1) + 1


def _side(count: int) -> int:
    return max(1, min(_SIDE, _LARGEST_SPRITE // _across(count)))
