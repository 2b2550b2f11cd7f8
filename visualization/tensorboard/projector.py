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
from visualization.sources.embedded_set import EmbeddedSet, Points, check_can_open

CONFIG, VECTORS, LABELS, SPRITE = "projector_config.pbtxt", "vectors.tsv", "labels.tsv", "images.png"
_LARGEST_SPRITE = 8192  # pixels of a side: the most that browsers take
_SIDE = 64  # of an image in it


class Projector:
    """Writes an evaluation set's files; knows after the first time which images it shows."""

    def __init__(self, folder: Path, images: int, seed: int) -> None:
        """Args:
        folder: of the set's events. The files, but the one that TensorBoard looks for, go to `projector/` in it.
        images: how many are shown, at most.
        seed: of their choice.
        """
        self._folder, self._images, self._seed = folder, images, seed
        self._chosen: np.ndarray | None = None

    def write(self, embedded: EmbeddedSet, name: str) -> None:
        """Writes the vectors, under a name; the first time all else, too.

        Raises:
            UserError: when they cannot be written.
        """
        sides = {"query": embedded.query, "gallery": embedded.gallery}
        if embedded.gallery is embedded.query:
            sides = {"all": embedded.query}
        images = [(role, points, index) for role, points in sides.items() for index in range(len(points))]
        chosen = self._chosen
        if chosen is None:
            chosen = self._choose([points.identities[index] for _, points, index in images])
            _write_pictures([images[place] for place in chosen], self._folder / "projector")
            self._chosen = chosen
        with replace_file(self._folder / "projector" / VECTORS) as file:
            for place in chosen:
                _, points, index = images[place]
                file.write("\t".join(map("{:.6g}".format, points.emb[index].tolist())) + "\n")
        side = _side(len(chosen))
        with replace_file(self._folder / CONFIG) as file:  # last: now all that it names is there
            file.write(
                "embeddings {\n"
                f'  tensor_name: "{name}"\n'
                f'  tensor_path: "projector/{VECTORS}"\n'
                f'  metadata_path: "projector/{LABELS}"\n'
                f'  sprite {{ image_path: "projector/{SPRITE}" single_image_dim: {side} single_image_dim: {side} }}\n'
                "}\n"
            )

    def _choose(self, identities: list[str]) -> np.ndarray:
        """Images of as few identities as it takes, so that one sees whether each is together."""
        names, codes = np.unique(identities, return_inverse=True)
        turn = np.random.default_rng(self._seed).permutation(len(names))[codes]  # (N,) which identity comes when
        return np.sort(np.argsort(turn, kind="stable")[: self._images])


def _write_pictures(chosen: list[tuple[str, Points, int]], folder: Path) -> None:
    """Labels and small images."""
    side, across = _side(len(chosen)), _across(len(chosen))
    sprite = Image.new("RGB", (across * side, across * side), "white")
    with replace_file(folder / LABELS) as file:
        file.write("identity\tfile\tset\n")
        for place, (role, points, index) in enumerate(chosen):
            cells = (points.identities[index], points.paths[index], role)
            file.write("\t".join(" ".join(printable(cell).split()) for cell in cells) + "\n")
            picture = open_small(check_can_open(points)[index], side) or Image.new("RGB", (side, side), "grey")
            x, y = place % across * side, place // across * side
            sprite.paste(picture, (x + (side - picture.width) // 2, y + (side - picture.height) // 2))
    with replace_file(folder / SPRITE, "wb") as file:
        sprite.save(file, "PNG")


def _across(count: int) -> int:
    return math.isqrt(count - 1) + 1


def _side(count: int) -> int:
    return max(1, min(_SIDE, _LARGEST_SPRITE // _across(count)))
