"""The picture of `visualize.py attention`: a pair of images in each row, and between them what made them similar."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from visualization.kit.colours import FAINT, INK, RIGHT, WRONG
from visualization.kit.plotting import Axes, Figure, add_scale, make_figure, map_colours, plain
from visualization.kit.printable import shorten

_COLOURS = "inferno"  # perceptually uniform, from dark to light: also for the colour-blind, and in print
_STRENGTH = 0.6  # of the colours over the image
_SIDE = 1.9  # inches of the shorter side of an image


@dataclass(frozen=True)
class ExplainedPair:
    """A query and the image it is compared with.

    Attributes:
        query, match: (H, W, C) uint8, as the network is fed with them.
        query_map, match_map: (h, w), what each place adds to the similarity.
        query_name, match_name: their files; identities, "" where they are not known.
        distance, similarity: of the pair.
        right: whether they are of one identity; None where that is not known.
        kind: why it is shown: best, worst, random, or "".
    """

    query: np.ndarray
    match: np.ndarray
    query_map: np.ndarray
    match_map: np.ndarray
    query_name: str
    match_name: str
    query_identity: str
    match_identity: str
    distance: float
    similarity: float
    right: bool | None
    kind: str = ""

    @property
    def verdict(self) -> str:
        return {True: "✓ right", False: "✗ wrong", None: ""}[self.right]


def draw_pairs(pairs: list[ExplainedPair], title: list[str], *, lowered: bool = False) -> Figure:
    """A row for each pair: query, its map, the match's map, match.

    The maps of a pair have one scale, from 0 to the largest value of both: what did not raise the similarity is dark.

    Args:
        pairs: at least one.
        title: lines for the head.
        lowered: show what lowered the similarity instead.

    Raises:
        UserError: when matplotlib is not installed.
    """
    height, width = pairs[0].query.shape[:2]
    across, down = _SIDE * max(1.0, width / height), _SIDE * max(1.0, height / width)
    rows = len(pairs)
    figure = make_figure(4 * across + 0.5, rows * (down + 0.72) + 0.2 * len(title) + 0.8)
    figure.suptitle("\n".join(plain(line) for line in title), fontsize=11, color=INK, x=0.01, ha="left")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.04)
    grid = figure.subplots(rows, 4, squeeze=False)
    for row, pair in zip(grid, pairs, strict=True):
        maps = scale_maps(pair, lowered)
        pictures = (pair.query, overlay(pair.query, maps[0]), overlay(pair.match, maps[1]), pair.match)
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(_colour(picture), interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
        _words(row, pair, across)
    _scale(figure, grid, lowered)
    return figure


def scale_maps(pair: ExplainedPair, lowered: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Both maps in [0, 1], the largest value of the two being 1; zeros where nothing raised (or lowered) it."""
    maps = [np.maximum(-m if lowered else m, 0) for m in (pair.query_map, pair.match_map)]
    largest = max(m.max(initial=0) for m in maps)
    if not (largest > 0 and np.isfinite(largest)):
        return tuple(np.zeros_like(m) for m in maps)
    return tuple(m / largest for m in maps)


def overlay(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The image in grey under the colours of a map: (H, W, C) and (h, w) in [0, 1] -> (H, W, 3) uint8.

    The map is enlarged bilinearly; the middle of its cells are those of the parts of the image that they stand for.
    """
    height, width = image.shape[:2]
    fine = Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    colours = map_colours(np.clip(np.asarray(fine), 0, 1), _COLOURS)  # (H, W, 3)
    grey = np.asarray(Image.fromarray(_colour(image)).convert("L"))[:, :, None] / 255
    return np.round(255 * ((1 - _STRENGTH) * grey + _STRENGTH * colours)).astype(np.uint8)


def share_lowered(values: np.ndarray) -> float:
    """How much of what a map adds and takes away is taken away: 0 where all places raise the similarity."""
    whole = np.abs(values).sum()
    return float(np.maximum(-values, 0).sum() / whole) if whole > 0 else 0.0


def _colour(image: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) -> (H, W, 3)."""
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def _words(row: list[Axes], pair: ExplainedPair, inches: float) -> None:
    """Names above and below a pair, and its frame: green and solid, or vermillion and dashed."""
    letters = int(inches * 13)
    head = (letters - 1) // 3
    above = [part for part in (pair.kind, pair.verdict) if part]
    colour = INK if pair.right is None else RIGHT if pair.right else WRONG
    row[0].set_title(plain(", ".join(above)) or " ", fontsize=10, color=colour, loc="left")
    row[1].set_title(f"distance {pair.distance:.4g}", fontsize=10, color=INK, loc="left")
    row[2].set_title(f"similarity {pair.similarity:.4g}", fontsize=10, color=INK, loc="left")
    names = {0: ("query", pair.query_name, pair.query_identity), 3: ("match", pair.match_name, pair.match_identity)}
    for place, (word, name, identity) in names.items():
        lines = [shorten(plain(name), letters, head)]
        if identity:
            lines.append(shorten(plain(identity), letters, head))
        row[place].set_xlabel("\n".join(lines), fontsize=8, color=INK)
        row[place].set_ylabel(word, fontsize=9, color=FAINT)
    for spine in row[3].spines.values():
        spine.set(color=colour, linewidth=3, linestyle="--" if pair.right is False else "-")


def _scale(figure: Figure, grid: np.ndarray, lowered: bool) -> None:
    # As it looks over a middle grey.
    seen = (1 - _STRENGTH) * 0.5 + _STRENGTH * map_colours(np.linspace(0, 1, 256), _COLOURS)
    label = f"how much a place {'lowered' if lowered else 'raised'} the similarity"
    add_scale(figure, grid, seen, ["nothing", "half", "most in the pair"], label)
