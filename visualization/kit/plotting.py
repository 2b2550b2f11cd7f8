"""Pictures by Matplotlib without its global state: any thread may draw them, and no display is needed."""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from PIL import Image

from runtime.printable import printable


def make_figure(width: float, height: float) -> Figure:
    """An empty figure of this width and height in inches; its parts arrange themselves."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def pixels_of(figure: Figure, dots: int = 100) -> np.ndarray:
    """The drawn figure at `dots` pixels per inch: (H, W, 3) uint8."""
    figure.set_dpi(dots)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def png_of(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a PNG file."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    return data.getvalue()


def plain(text: str) -> str:
    """The text as Matplotlib can write it, in one line: characters that its font lacks become ?, and $ stays $."""
    known = get_font(findfont("DejaVu Sans")).get_char_index
    text = "".join(c if known(ord(c)) else "?" for c in printable(text))
    return text.replace("$", r"\$")
