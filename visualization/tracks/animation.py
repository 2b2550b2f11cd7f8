"""Writes pictures as an animated GIF or an MP4 video."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from PIL import Image

from runtime.errors import UserError

FORMATS = ("gif", "mp4")
# Pillow keeps all frames of a GIF in memory until it writes them: one byte per pixel.
GIF_FRAMES, GIF_BYTES = 500, 500_000_000

_MP4_ENCODER: Final = "libx264"


def check_format(name: str) -> None:
    """Raises a UserError if a format cannot be written here."""
    if name != "mp4":
        return
    try:
        import av
    except ImportError as error:
        raise UserError(f"--format mp4 needs PyAV ({error}): pip install av") from error
    if _MP4_ENCODER not in av.codecs_available:
        raise UserError(f"--format mp4 needs PyAV with the encoder {_MP4_ENCODER}; --format gif needs none")


def check_length(name: str, count: int, size: tuple[int, int], every: int) -> None:
    """Raises a UserError if `count` frames, one in `every`, are too many for the format: GIFs stay in memory."""
    fits = min(GIF_FRAMES, GIF_BYTES // (size[0] * size[1]))
    if name == "gif" and count > fits:
        enough = every * -(-count // max(fits, 1))
        raise UserError(
            f"{count:,} frames of {size[0]}x{size[1]}: --format gif keeps them in memory and takes at most {fits:,}; "
            f"set --every {enough} for fewer frames, or --format mp4 for any number"
        )


def frames_a_second(name: str, fps: float) -> float:
    """The speed of the animation for `fps`: GIFs have delays of whole hundredths of a second."""
    return 100 / _centiseconds(fps) if name == "gif" else fps


def write_animation(
    path: Path, frames: Iterable[Image.Image], fps: float, reserved: Sequence[tuple[int, int, int]] = ()
) -> None:
    """Writes at least one frame, all RGB and of one size, in the format of the suffix of `path`.

    Args:
        frames: an MP4 is written frame by frame, a GIF after the last one.
        fps: frames per second; see `frames_a_second`.
        reserved: colours that a GIF keeps exactly; it has 256 per frame.

    Raises:
        UserError: when the file cannot be written.
    """
    if Path(path).suffix == ".mp4":
        _write_mp4(path, iter(frames), fps)
    else:
        _write_gif(path, (_few_colours(frame, reserved) for frame in frames), fps)


def _centiseconds(fps: float) -> int:
    return max(1, round(100 / fps))


def _write_gif(path: Path, frames: Iterator[Image.Image], fps: float) -> None:
    first, duration = next(frames), 10 * _centiseconds(fps)
    first.save(path, "GIF", save_all=True, append_images=frames, duration=duration, loop=0)


def _few_colours(frame: Image.Image, reserved: Sequence[tuple[int, int, int]]) -> Image.Image:
    """The frame as a palette image with its best colours and the reserved ones."""
    adapted = frame.quantize(256 - len(reserved), Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(adapted[: 3 * (256 - len(reserved))] + [value for colour in reserved for value in colour])
    # Dithering doubles the file and flickers.
    return frame.quantize(palette=palette, dither=Image.Dither.NONE)


def _write_mp4(path: Path, frames: Iterator[Image.Image], fps: float) -> None:
    """H.264 with the pixel format that every player supports. It halves colours: sizes must be even."""
    import av

    first = next(frames)
    try:
        with open(path, "wb") as file, av.open(file, "w", format="mp4") as container:
            stream = container.add_stream(
                _MP4_ENCODER, rate=Fraction(fps).limit_denominator(1000), options={"crf": "20"}, pix_fmt="yuv420p"
            )
            stream.width, stream.height = first.size
            for frame in itertools.chain((first,), frames):
                container.mux(stream.encode(av.VideoFrame.from_image(frame)))
            container.mux(stream.encode())
    except av.error.FFmpegError as error:
        raise UserError(f"cannot write {path}: {error}; --format gif needs no encoder") from error
