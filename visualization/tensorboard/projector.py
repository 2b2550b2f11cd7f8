"""Files of TensorBoard's embedding projector: vectors, what each of them is, and a small image of each.

TensorBoard looks for `projector_config.pbtxt` in every folder with events. Which images are shown, and their small
pictures, stay the same from checkpoint to checkpoint; only the vectors are written anew, so that TensorBoard never
finds files that do not belong together.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from runtime.files import replace_file
from visualization.kit.printable import printable
from visualization.kit.thumbnails import open_small
from visualization.sources.embedded_set import Points

CONFIG, VECTORS, LABELS, SPRITE = "projector_config.pbtxt", "vectors.tsv", "labels.tsv", "images.png"
_LARGEST_SPRITE = 8192  # pixels of a side: the most that browsers take
_SIDE = 64  # of an image in it


class Projector:
    """Writes the files of a set of images; knows after the first time which images it shows.

    Attributes:
        shown: how many images that are.
        pictures: of how many of them there is a picture.
    """

    def __init__(self, folder: Path, images: int, seed: int) -> None:
        """Args:
        folder: of the set's events. The files, but the one that TensorBoard looks for, go to `projector/` in it.
        images: how many are shown, at most.
        seed: of their choice.
        """
        self._folder, self._images, self._seed = folder, images, seed
        self._chosen: np.ndarray | None = None
        self.shown = self.pictures = 0

    def write(self, query: Points, gallery: Points, name: str) -> None:
        """Writes the vectors, under a name; the first time all else, too.

        Args:
            query, gallery: the images; the same object where they are one set.
            name: what TensorBoard calls the vectors.

        Raises:
            UserError: when they cannot be written.
        """
        sides = {"all": query} if gallery is query else {"query": query, "gallery": gallery}
        images = [(role, points, index) for role, points in sides.items() for index in range(len(points))]
        chosen = self._chosen
        if chosen is None:
            chosen = self._choose([points.identities[index] for _, points, index in images])
            (self._folder / CONFIG).unlink(missing_ok=True)  # of other images: until all is there, there is nothing
            self.pictures = _write_pictures([images[place] for place in chosen], self._folder / "projector")
            self._chosen, self.shown = chosen, len(chosen)
        with replace_file(self._folder / "projector" / VECTORS) as file:
            for place in chosen:
                _, points, index = images[place]
                file.write("\t".join(map("{:.6g}".format, points.emb[index].tolist())) + "\n")
        side, quoted = _side(len(chosen)), name.replace("\\", "\\\\").replace('"', '\\"')
        sprite = f'image_path: "projector/{SPRITE}" single_image_dim: {side} single_image_dim: {side}'
        with replace_file(self._folder / CONFIG) as file:  # last: now all that it names is there
            file.write(
                "embeddings {\n"
                f'  tensor_name: "{quoted}"\n'
                f'  tensor_path: "projector/{VECTORS}"\n'
                f'  metadata_path: "projector/{LABELS}"\n'
                + (f"  sprite {{ {sprite} }}\n" if self.pictures else "")
                + "}\n"
            )

    def _choose(self, identities: list[str]) -> np.ndarray:
        """Images of as few identities as it takes, so that one sees whether each is together, or random ones."""
        labels = identities if any(identities) else range(len(identities))
        names, codes = np.unique(labels, return_inverse=True)
        turn = np.random.default_rng(self._seed).permutation(len(names))[codes]  # (N,) which identity comes when
        return np.sort(np.argsort(turn, kind="stable")[: self._images])


def _write_pictures(chosen: list[tuple[str, Points, int]], folder: Path) -> int:
    """Labels and, where it is known where the images are, small images; the number of these."""
    side, across = _side(len(chosen)), _across(len(chosen))
    labelled = any(points.identities[index] for _, points, index in chosen)
    with replace_file(folder / LABELS) as file:
        file.write("identity\tfile\tset\n" if labelled else "file\tset\n")
        for role, points, index in chosen:
            cells = ([points.identities[index]] if labelled else []) + [points.paths[index], role]
            file.write("\t".join(" ".join(printable(cell).split()) for cell in cells) + "\n")
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
