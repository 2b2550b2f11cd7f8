"""Pictures to an animated GIF or an MP4 video."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from PIL import Image

from runtime.errors import UserError

FORMATS = ("gif", "mp4")
# Pillow keeps all frames of a GIF until it writes them, a byte a pixel.
GIF_FRAMES, GIF_BYTES = 500, 500_000_000

_MP4_ENCODER: Final = "libx264"


def check_format(name: str) -> None:
    """Raises a UserError when a format cannot be written here."""
    if name != "mp4":
        return
    try:
        import av
    except ImportError as error:
        raise UserError(f"--format mp4 needs PyAV ({error}): pip install av") from error
    if _MP4_ENCODER not in av.codecs_available:
        raise UserError(f"--format mp4 needs PyAV with the encoder {_MP4_ENCODER}; --format gif needs none")


def check_length(name: str, count: int, size: tuple[int, int], every: int) -> None:
    """Raises a UserError when `count` frames, one in `every`, are more than a format takes: a GIF stays in memory."""
    fits = min(GIF_FRAMES, GIF_BYTES // (size[0] * size[1]))
    if name == "gif" and count > fits:
        enough = every * -(-count // max(fits, 1))
        raise UserError(
            f"{count:,} frames of {size[0]}x{size[1]}: --format gif keeps them in memory and takes at most {fits:,}; "
            f"take fewer with --every {enough}, or any number with --format mp4"
        )


def frames_a_second(name: str, fps: float) -> float:
    """The speed that a format gives for `fps`: delays between the frames of a GIF are whole hundredths of a second."""
    return 100 / _centiseconds(fps) if name == "gif" else fps


def write_animation(
    path: Path, frames: Iterable[Image.Image], fps: float, reserved: Sequence[tuple[int, int, int]] = ()
) -> None:
    """Writes frames, at least one, all RGB and of one size, as the suffix of `path` says.

    Args:
        frames: taken one by one; an MP4 is written as they come, a GIF, whose frames Pillow keeps, after the last.
        fps: frames a second; see `frames_a_second`.
        reserved: colours that a GIF, which has 256 a frame, keeps exactly.

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
    """A palette image: the colours that suit this frame best, and the reserved ones."""
    adapted = frame.quantize(256 - len(reserved), Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(adapted[: 3 * (256 - len(reserved))] + [value for colour in reserved for value in colour])
    # Dithered, the file is twice as large, and flickers.
    return frame.quantize(palette=palette, dither=Image.Dither.NONE)


def _write_mp4(path: Path, frames: Iterator[Image.Image], fps: float) -> None:
    """H.264 with the pixel format that every player knows, which halves colours: sizes must be even."""
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
