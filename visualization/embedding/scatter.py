"""The picture of `visualize.py embedding`: images as points of a plane, near each other as their embeddings are."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from runtime.errors import UserError
from visualization.kit.colours import INK, PALETTE
from visualization.kit.figure_page import Spot
from visualization.kit.plotting import make_figure, pixels_of, plain
from visualization.kit.printable import printable, shorten
from visualization.kit.thumbnails import open_small
from visualization.sources.embedded_set import Points, check_can_open

MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")

_GREY = "#b5b5b5"
_DOTS = 130  # an inch
_INCHES = 8.0  # of the square of points
_PICTURE = 0.34  # inches of a thumbnail


def choose_highlighted(identities: np.ndarray, count: int, seed: int = 0) -> list[str]:
    """The identities to be told apart: all, if there are no more than `count`, else those with the most images.

    Of equally many images, the seed decides.
    """
    names, counts = np.unique(identities, return_counts=True)
    order = np.lexsort((np.random.default_rng(seed).permutation(len(names)), -counts))
    return np.sort(names[order[:count]]).tolist()


def look_of(number: int) -> tuple[str, str]:
    """Colour and marker of highlighted identity 0, 1, ...: no two of the first 64 are equal."""
    colours = len(PALETTE)
    return PALETTE[number % colours], MARKERS[(number + number // colours) % len(MARKERS)]


def draw_embedding(
    drawn: Points, positions: np.ndarray, names: Sequence[str], title: Sequence[str], thumbnails: bool = False
) -> tuple[np.ndarray, list[Spot]]:
    """Draws the points.

    Args:
        drawn: N images.
        positions: (N, 2).
        names: the identities in colours; the others are grey.
        title: lines for the head.
        thumbnails: draw the images where there is room.

    Returns:
        The picture (H, W, 3) uint8, and where the images are in it.

    Raises:
        UserError: when an image cannot be opened.
    """
    figure = make_figure(_INCHES + 3.5, _INCHES + 0.25 * len(title) + 0.2)
    figure.suptitle("\n".join(plain(line) for line in title), fontsize=11, color=INK, x=0.01, ha="left")
    axes = figure.subplots()
    low, high = positions.min(axis=0), positions.max(axis=0)
    side = max(float((high - low).max()), 1e-12) * 1.06
    corner = (low + high - side) / 2
    # In t-SNE and UMAP only who is near whom means anything: no ticks.
    axes.set(xlim=(corner[0], corner[0] + side), ylim=(corner[1], corner[1] + side), xticks=[], yticks=[])
    axes.set_aspect("equal", anchor="W")  # the legend has the right
    looks = {name: look_of(number) for number, name in enumerate(names)}
    _points(axes, drawn.identities, positions, looks)
    cell = side * _PICTURE / _INCHES
    pictured, middles = _pictured(positions, corner, cell) if thumbnails else ([], positions[:0])
    for point, middle in zip(pictured, middles, strict=True):
        _thumbnail(axes, drawn, point, middle, cell, looks)
    pixels = pixels_of(figure, dots=_DOTS)

    spots = []
    boxes = ((list(range(len(positions))), positions, 0.045), (pictured, middles, 0.47 * _PICTURE))
    for numbers, places, inches in boxes:  # pictures above points
        half = inches * _DOTS
        for point, (x, y) in zip(numbers, axes.transData.transform(places), strict=True):
            text = f"{drawn.identities[point]}\n{drawn.paths[point]}"
            spots.append(Spot(x - half, len(pixels) - y - half, 2 * half, 2 * half, text))
    return pixels, spots


def _points(axes: Axes, identities: np.ndarray, positions: np.ndarray, looks: dict[str, tuple[str, str]]) -> None:
    size = float(np.clip(9000 / len(positions), 7, 45))
    others = ~np.isin(identities, list(looks))
    if others.any():
        label = f"{len(np.unique(identities[others])):,} others"
        axes.scatter(positions[others, 0], positions[others, 1], s=0.6 * size, c=_GREY, linewidths=0, label=label)
    for name, (colour, marker) in looks.items():
        x, y = positions[identities == name].T
        label = f"{shorten(plain(printable(name)), 30, head=9)} ({len(x)})"
        axes.scatter(x, y, s=size, c=colour, marker=marker, edgecolors=INK, linewidths=0.4, label=label)
    words = {"title": "identity (images)", "title_fontsize": 9, "fontsize": 8}
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, markerscale=1.3, **words)


def _pictured(positions: np.ndarray, corner: np.ndarray, cell: float) -> tuple[list[int], np.ndarray]:
    """Of the points in each square of a grid the one nearest to its middle, and these middles.

    One picture to a square: so they do not overlap, and the plane is evenly filled.
    """
    places = np.floor((positions - corner) / cell)
    middles = corner + (places + 0.5) * cell
    order = np.argsort(np.square(positions - middles).sum(axis=1), kind="stable")
    _, first = np.unique(places[order], axis=0, return_index=True)
    return order[first].tolist(), middles[order[first]]


def _thumbnail(
    axes: Axes, drawn: Points, point: int, middle: np.ndarray, cell: float, looks: dict[str, tuple[str, str]]
) -> None:
    """Draws a picture into its square; a highlighted identity has a frame of its colour, and its mark."""
    file = check_can_open(drawn)[point]
    picture = open_small(file, 96)
    if picture is None:
        raise UserError(f"{file}: cannot be read as an image; leave out --thumbnails, or mend it")
    width, height = (0.94 * cell * edge / max(picture.size) for edge in picture.size)
    x, y = middle[0] - width / 2, middle[1] - height / 2
    axes.imshow(picture, extent=(x, x + width, y, y + height), interpolation="antialiased", zorder=3)
    if drawn.identities[point] in looks:
        colour, marker = looks[drawn.identities[point]]
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2, zorder=4))
        # The point itself is hidden: its mark, in a corner.
        x, y = x + 0.12 * width, y + 0.88 * height
        axes.scatter(x, y, s=36, c=colour, marker=marker, edgecolors="white", linewidths=0.8, zorder=5)
