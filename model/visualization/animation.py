"""Pictures to an animated GIF or an MP4 video; a file is whole or not there."""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from PIL import Image

from dataset.errors import UserError
from dataset.files import replace_file

FORMATS = ("gif", "mp4")


def check_format(name: str) -> None:
    """Raises a UserError when a format cannot be written here."""
    if name == "mp4" and importlib.util.find_spec("av") is None:
        raise UserError("--format mp4 needs PyAV: pip install av")


def write_animation(
    path: Path, frames: Iterable[Image.Image], fps: float, reserved: Sequence[tuple[int, int, int]] = ()
) -> None:
    """Writes frames, at least one, all RGB and of one size, as the suffix of `path` says.

    Args:
        frames: drawn one by one, as they are written.
        fps: frames a second.
        reserved: colours that a GIF, which has 256 a frame, keeps exactly.

    Raises:
        UserError: when the file cannot be written.
    """
    if Path(path).suffix == ".mp4":
        _write_mp4(path, iter(frames), fps)
    else:
        _write_gif(path, (_few_colours(frame, reserved) for frame in frames), fps)


def _write_gif(path: Path, frames: Iterator[Image.Image], fps: float) -> None:
    with replace_file(path, "wb") as file:
        first = next(frames)
        first.save(file, "GIF", save_all=True, append_images=frames, duration=1000 / fps, loop=0)


def _few_colours(frame: Image.Image, reserved: Sequence[tuple[int, int, int]]) -> Image.Image:
    """A palette image: the colours that suit this frame best, and the reserved ones."""
    adapted = frame.quantize(256 - len(reserved), Image.Quantize.MEDIANCUT).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette(adapted[: 3 * (256 - len(reserved))] + [value for colour in reserved for value in colour])
    return frame.quantize(
        palette=palette, dither=Image.Dither.NONE
    )  # dithered, the file is twice as large, and flickers


def _write_mp4(path: Path, frames: Iterator[Image.Image], fps: float) -> None:
    """H.264 with the pixel format that every player knows, which halves colours: sizes must be even."""
    import av

    first = next(frames)
    try:
        with replace_file(path, "wb") as file, av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
            stream.width, stream.height, stream.pix_fmt = *first.size, "yuv420p"
            stream.options = {"crf": "20"}
            for frame in (first, *frames):
                container.mux(stream.encode(av.VideoFrame.from_image(frame)))
            container.mux(stream.encode())
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError) as error:  # the latter: PyAV without the encoder
        raise UserError(f"cannot write {path}: {error}; --format gif needs no encoder") from error
