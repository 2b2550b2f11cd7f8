"""The picture of `visualize.py embedding`: images as points of a plane, near each other as their embeddings are."""

from collections.abc import Callable, Sequence

import numpy as np

from visualization.embedding.flat_positions import Drawn
from visualization.kit.colours import INK, PALETTE
from visualization.kit.figure_page import Spot
from visualization.kit.plotting import Axes, Figure, add_frame, make_figure, plain
from visualization.kit.printable import printable, shorten

MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")

_GREY = "#b5b5b5"
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
    drawn: Drawn,
    positions: np.ndarray,
    names: Sequence[str],
    title: Sequence[str],
    thumbnail: Callable[[str], np.ndarray] | None = None,
) -> tuple[Figure, Callable[[], list[Spot]]]:
    """Draws the points.

    Args:
        drawn: N images.
        positions: (N, 2).
        names: the identities in colours; the others are grey.
        title: lines for the head.
        thumbnail: makes the small picture (h, w, 3) uint8 of a file; given, images are drawn where there is room.

    Returns:
        The figure, and a function that tells, once it was drawn, where the images are in it.

    Raises:
        UserError: when matplotlib is not installed.
    """
    figure = make_figure(_INCHES + 3.5, _INCHES + 0.25 * len(title) + 0.2)
    figure.suptitle("\n".join(plain(line) for line in title), fontsize=11, color=INK, x=0.01, ha="left")
    axes = figure.subplots()
    low, high = positions.min(axis=0), positions.max(axis=0)
    side = max(float((high - low).max()), 1e-12) * 1.06
    middle = (low + high) / 2
    axes.set_xlim(middle[0] - side / 2, middle[0] + side / 2)
    axes.set_ylim(middle[1] - side / 2, middle[1] + side / 2)
    axes.set_aspect("equal", anchor="W")  # the legend has the right
    axes.set_xticks([])  # in t-SNE and UMAP only who is near whom means anything
    axes.set_yticks([])
    _points(axes, drawn.identities, positions, names)
    cell = side * _PICTURE / _INCHES
    pictured = {}
    if thumbnail is not None:
        corner = middle - side / 2
        pictured = _pictured(positions, corner, cell)
        _thumbnails(axes, drawn, pictured, corner, cell, names, thumbnail)
    return figure, lambda: _spots(axes, drawn, positions, pictured, cell, middle - side / 2)


def _points(axes: Axes, identities: np.ndarray, positions: np.ndarray, names: Sequence[str]) -> None:
    size = float(np.clip(9000 / len(positions), 7, 45))
    others = ~np.isin(identities, names)
    if others.any():
        label = f"{len(np.unique(identities[others])):,} others"
        axes.scatter(*positions[others].T, s=0.6 * size, c=_GREY, linewidths=0, label=label)
    for number, name in enumerate(names):
        colour, marker = look_of(number)
        own = positions[identities == name]
        label = f"{shorten(plain(printable(name)), 30, head=9)} ({len(own)})"
        axes.scatter(*own.T, s=size, c=colour, marker=marker, edgecolors=INK, linewidths=0.4, label=label)
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        frameon=False,
        fontsize=8,
        title="identity (images)",
        markerscale=1.3,
    )
    legend.get_title().set_fontsize(9)


def _pictured(positions: np.ndarray, corner: np.ndarray, cell: float) -> dict[tuple[int, int], int]:
    """Of the points in each square of a grid the one nearest to its middle: (column, row) -> point.

    One picture to a square: so they do not overlap, and the plane is evenly filled.
    """
    places = np.floor((positions - corner) / cell).astype(int)
    away = np.square(positions - corner - (places + 0.5) * cell).sum(axis=1)
    found: dict[tuple[int, int], int] = {}
    for point in np.argsort(away, kind="stable"):
        found.setdefault((int(places[point, 0]), int(places[point, 1])), int(point))
    return found


def _thumbnails(
    axes: Axes,
    drawn: Drawn,
    pictured: dict[tuple[int, int], int],
    corner: np.ndarray,
    cell: float,
    names: Sequence[str],
    thumbnail: Callable[[str], np.ndarray],
) -> None:
    """Draws the pictures into their squares; highlighted identities have a frame of their colour, and their mark."""
    limits = axes.get_xlim(), axes.get_ylim()
    for (column, row), point in pictured.items():
        picture = thumbnail(drawn.files[point])
        height, width = picture.shape[:2]
        w, h = (0.94 * cell * edge / max(height, width) for edge in (width, height))
        x, y = corner + (np.array([column, row]) + 0.5) * cell
        box = (x - w / 2, x + w / 2, y - h / 2, y + h / 2)
        axes.imshow(picture, extent=box, aspect="equal", interpolation="antialiased", zorder=3)
        if drawn.identities[point] in names:
            colour, marker = look_of(list(names).index(drawn.identities[point]))
            add_frame(axes, (box[0], box[2], w, h), colour)
            # The point itself is hidden: its mark, in a corner.
            corners = box[0] + 0.12 * w, box[3] - 0.12 * h
            axes.scatter(*corners, s=36, c=colour, marker=marker, edgecolors="white", linewidths=0.8, zorder=5)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def _spots(
    axes: Axes,
    drawn: Drawn,
    positions: np.ndarray,
    pictured: dict[tuple[int, int], int],
    cell: float,
    corner: np.ndarray,
) -> list[Spot]:
    """Points first, pictures above them."""
    height = axes.figure.bbox.height
    spots = []

    def add(x: float, y: float, half: float, point: int) -> None:
        text = f"{printable(drawn.identities[point])}\n{printable(drawn.paths[point])}"
        spots.append(Spot(x - half, height - y - half, 2 * half, 2 * half, text))

    for point, (x, y) in enumerate(axes.transData.transform(positions)):
        add(x, y, 0.045 * axes.figure.dpi, point)
    for place, point in pictured.items():
        x, y = axes.transData.transform(corner + (np.array(place) + 0.5) * cell)
        add(x, y, 0.47 * _PICTURE * axes.figure.dpi, point)
    return spots
