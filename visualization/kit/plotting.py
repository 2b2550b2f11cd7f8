"""Figures drawn by matplotlib, without its global state: they may be drawn in any thread, with no display at hand."""

import base64
import io
import re
from typing import TYPE_CHECKING

import numpy as np

from runtime.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind people can tell apart: orange, sky blue, bluish green, yellow, blue,
# vermillion, reddish purple, black.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000")
RIGHT, WRONG, INK, FAINT = "#009E73", "#D55E00", "#222222", "#767676"


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, whose parts arrange themselves.

    Raises:
        UserError: when matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(f"this picture needs matplotlib ({error}): pip install matplotlib") from error
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def pixels_of(figure: "Figure", dots: int = 100) -> np.ndarray:
    """The drawn figure, at so many dots an inch: (H, W, 3) uint8."""
    figure.set_dpi(dots)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()


def png_of(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a PNG file."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    return data.getvalue()


def png_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 as an address that needs no file."""
    return "data:image/png;base64," + base64.b64encode(png_of(pixels)).decode()


def plain(text: str) -> str:
    """The text as matplotlib can write it: characters that its own font lacks become question marks, $ stays $."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_char_index
    text = "".join(c if known(ord(c)) else "?" for c in re.sub(r"\s", " ", text))
    return text.replace("$", r"\$")


def shortened(text: str, length: int) -> str:
    """At most so many characters: the middle makes way, as names differ at their ends."""
    if len(text) <= length:
        return text
    head = (length - 1) // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def bare(axes: "Axes") -> None:
    """Leaves the lines at the left and below, and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
