"""The picture of `visualize.py attention`: a pair of images in each row, and between them their maps."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from runtime.printable import parts_of, shorten
from visualization.attention.pairs import ChosenPair
from visualization.kit.colours import FAINT, INK, RIGHT, WRONG
from visualization.kit.plotting import Figure, make_figure, plain

_COLOURS = "inferno"  # perceptually uniform, from dark to light: works for colour-blind readers and in print
_STRENGTH = 0.6  # opacity of the colours over the image
_LUMA = np.array([0.299, 0.587, 0.114])
_SIDE = 1.9  # inches of the shorter side of an image


@dataclass(frozen=True)
class ExplainedPair:
    """A pair with its maps.

    Attributes:
        pair: the two images.
        images: (2, H, W, C) uint8, as the network gets them.
        maps: (2, h, w), the contribution of each place to the similarity.
        distance, similarity: of the pair.
    """

    pair: ChosenPair
    images: np.ndarray
    maps: np.ndarray
    distance: float
    similarity: float

    def scaled_maps(self, lowered: bool = False) -> np.ndarray:
        """The maps in [0, 1]; the largest value of both is 1. Zero: did not raise (or lower) it."""
        maps = np.maximum(-self.maps if lowered else self.maps, 0)
        largest = maps.max(initial=0)
        return maps / largest if largest > 0 and np.isfinite(largest) else np.zeros_like(maps)

    def shares_lowered(self) -> list[float]:
        """The lowering share of all contributions of each map: 0 where all places raise the similarity."""
        whole = np.abs(self.maps).sum((1, 2))
        return (np.maximum(-self.maps, 0).sum((1, 2)) / np.where(whole > 0, whole, 1)).tolist()


def draw_pairs(explained: list[ExplainedPair], title: list[str], *, lowered: bool = False) -> Figure:
    """Draws a row for each pair: query, its map, the match's map, match.

    The maps of a pair share a scale, from 0 (dark) to the largest value of both.

    Args:
        explained: at least one.
        title: lines of the head.
        lowered: show what lowered the similarity instead.
    """
    height, width = explained[0].images.shape[1:3]
    across, down = _SIDE * max(1.0, width / height), _SIDE * max(1.0, height / width)
    figure = make_figure(4 * across + 0.5, len(explained) * (down + 1.02) + 0.2 * len(title) + 0.8)
    figure.suptitle("\n".join(plain(line) for line in title), fontsize=11, color=INK, x=0.01, ha="left")
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.04)
    grid = figure.subplots(len(explained), 4, squeeze=False)
    for row, each in zip(grid, explained, strict=True):
        for axes in row:
            axes.set(xticks=[], yticks=[])
        first, second = np.broadcast_to(each.images, (2, height, width, 3))
        maps = each.scaled_maps(lowered)
        row[0].imshow(first, interpolation="nearest")
        _draw_map(row[1], first, maps[0])
        _draw_map(row[2], second, maps[1])
        row[3].imshow(second, interpolation="nearest")
        _words(row, each, across)
    shown = grid[0][1].images[1]
    bar = figure.colorbar(shown, ax=grid, location="bottom", aspect=60, shrink=0.8, ticks=[0, 0.5, 1], pad=0.01)
    bar.ax.set_facecolor("0.5")  # as the colours look over a middle grey
    bar.ax.set_xticklabels(["nothing", "half", "most of this pair"], fontsize=8)
    bar.outline.set_visible(False)
    bar.set_label(
        f"how much a place {'lowered' if lowered else 'raised'} the similarity of the pair", fontsize=9, color=INK
    )
    return figure


def _draw_map(axes: Axes, image: np.ndarray, values: np.ndarray) -> None:
    """Draws an image (H, W, 3) in grey under the colours of a map (h, w) in [0, 1], stretched over it."""
    height, width = image.shape[:2]
    axes.imshow(image @ _LUMA, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    whole = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(values, _COLOURS, vmin=0, vmax=1, alpha=_STRENGTH, interpolation="bilinear", extent=whole)


def _words(row: list[Axes], each: ExplainedPair, inches: float) -> None:
    """Writes texts above and below a pair and draws its frame: green and solid, or vermilion and dashed."""
    pair = each.pair
    colour = INK if pair.right is None else RIGHT if pair.right else WRONG
    verdict = plain(", ".join(filter(None, (pair.kind, pair.verdict)))) or " "
    heads = [verdict, "map of the query", "map of the match", f"distance {each.distance:.4g}"]
    for axes, head, ink in zip(row, heads, (colour, FAINT, FAINT, INK), strict=True):
        axes.set_title(head, fontsize=10, color=ink, loc="left")
    for axes, word, *names in zip((row[0], row[3]), ("query", "match"), pair.names, pair.identities, strict=True):
        lines = [
            line
            for name in names
            if name
            for line in _lines(name.rpartition("/")[2] if name == names[0] else name, int(inches * 12))
        ]
        axes.set_xlabel("\n".join(lines), fontsize=9, color=INK)
        axes.set_ylabel(word, fontsize=9, color=FAINT)
    for spine in row[3].spines.values():
        spine.set(color=colour, linewidth=3, linestyle="--" if pair.right is False else "-")


def _lines(name: str, letters: int) -> list[str]:
    """A name in at most two lines of `letters`, broken at a separator; a longer name loses its middle."""
    name = shorten(name, 2 * letters, letters // 2)
    lines = [""]
    for part in parts_of(name):
        if lines[-1] and len(lines[-1] + part) > letters:
            lines.append("")
        lines[-1] += part
    return [plain(shorten(line, letters)) for line in (lines if len(lines) < 3 else (lines[0], "".join(lines[1:])))]
