"""The picture of `visualize.py embedding`: images as points, near each other where their embeddings are."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from runtime.errors import UserError
from runtime.printable import printable, shorten
from visualization.kit.colours import INK, PALETTE
from visualization.kit.figure_page import Spot
from visualization.kit.plotting import make_figure, pixels_of, plain
from visualization.kit.thumbnails import open_small
from visualization.sources.embedded_set import Points, check_can_open

MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")

_GREY = "#b5b5b5"
_DOTS = 130  # per inch
_INCHES = 8.0  # of the square of points
_PICTURE = 0.34  # inches of a thumbnail


def choose_highlighted(identities: np.ndarray, count: int, seed: int = 0) -> list[str]:
    """The identities that get colours: those with the most images, at most `count`; the seed decides between equals."""
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
        names: identities in colours; the others are grey.
        title: lines of the head.
        thumbnails: draw images where there is room.

    Returns:
        The picture (H, W, 3) uint8, and the boxes of the images in it.

    Raises:
        UserError: when an image cannot be opened.
    """
    columns = 3 if max(map(len, names), default=0) < 20 else 2
    lines = -(-(len(names) + 1) // columns)
    figure = make_figure(_INCHES, _INCHES + 0.25 * len(title) + 0.2 * lines + 0.5)
    figure.suptitle("\n".join(plain(line) for line in title), fontsize=11, color=INK, x=0.01, ha="left")
    axes = figure.subplots()
    low, high = positions.min(axis=0), positions.max(axis=0)
    side = max(float((high - low).max()), 1e-12) * 1.06
    corner = (low + high - side) / 2
    # No ticks: in t-SNE and UMAP only neighbourhoods have a meaning.
    axes.set(xlim=(corner[0], corner[0] + side), ylim=(corner[1], corner[1] + side), xticks=[], yticks=[])
    axes.set_aspect("equal", anchor="N")  # the legend needs the room below
    looks = {name: look_of(number) for number, name in enumerate(names)}
    _points(axes, drawn.identities, positions, looks)
    cell = side * _PICTURE / _INCHES
    # The labels are given, since Matplotlib would omit those that start with _.
    shown = axes.collections[:]
    axes.legend(
        shown,
        [str(each.get_label()) for each in shown],
        title="identity (number of images)",
        title_fontsize=10,
        fontsize=9,
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(0, 0),
        borderaxespad=0.2,
        ncols=columns,
        frameon=False,
        markerscale=1.4,
    )
    pictured, middles = _pictured(positions, corner, cell) if thumbnails else ([], positions[:0])
    for point, middle in zip(pictured, middles, strict=True):
        _thumbnail(axes, drawn, point, middle, cell, looks)
    pixels = pixels_of(figure, dots=_DOTS)

    spots = []
    boxes = ((list(range(len(positions))), positions, 0.045), (pictured, middles, 0.47 * _PICTURE))
    for numbers, places, inches in boxes:  # pictures above points
        half = inches * _DOTS
        for point, (x, y) in zip(numbers, axes.transData.transform(places), strict=True):
            text = f"{printable(drawn.identities[point])}\n{printable(drawn.paths[point])}"
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
        label = f"{plain(shorten(printable(name), 32, head=9))} ({len(x)})"
        axes.scatter(x, y, s=max(size, 14), c=colour, marker=marker, edgecolors=INK, linewidths=0.4, label=label)


def _pictured(positions: np.ndarray, corner: np.ndarray, cell: float) -> tuple[list[int], np.ndarray]:
    """In each square of a grid, the point nearest to its middle; and the middles. Pictures there do not overlap."""
    places = np.floor((positions - corner) / cell)
    middles = corner + (places + 0.5) * cell
    order = np.argsort(np.square(positions - middles).sum(axis=1), kind="stable")
    _, first = np.unique(places[order], axis=0, return_index=True)
    return order[first].tolist(), middles[order[first]]


def _thumbnail(
    axes: Axes, drawn: Points, point: int, middle: np.ndarray, cell: float, looks: dict[str, tuple[str, str]]
) -> None:
    """Draws an image into its square, for a highlighted identity with a frame in its colour and its marker."""
    file = check_can_open(drawn)[point]
    picture = open_small(file, 96)
    if picture is None:
        raise UserError(f"{file}: cannot be read as an image; repair it, or drop --thumbnails")
    width, height = (0.94 * cell * edge / max(picture.size) for edge in picture.size)
    x, y = middle[0] - width / 2, middle[1] - height / 2
    axes.imshow(picture, extent=(x, x + width, y, y + height), interpolation="antialiased", zorder=3)
    if drawn.identities[point] in looks:
        colour, marker = looks[drawn.identities[point]]
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2, zorder=4))
        # The image hides the point: its marker goes to a corner.
        x, y = x + 0.12 * width, y + 0.88 * height
        axes.scatter(x, y, s=36, c=colour, marker=marker, edgecolors="white", linewidths=0.8, zorder=5)
