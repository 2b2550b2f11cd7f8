"""Objects of a video matched from frame to frame by the embedding: an animation, and a page with the distances.

The annotated objects of each frame are matched to those of the last frame before it that has any, such that the sum of
distances is smallest. Written are RUN/tracks/NAME/tracks.gif (or .mp4) and tracks.html, never over those of other
frames. Annotations tell which matches are right; matching by the overlap of boxes is counted beside it: an embedding
should be better than position alone.
"""

import argparse
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from model.run.arguments import add_run_arguments
from runtime.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from dataset.vid.annotated_frames import AnnotatedFrame
    from model.configuration.params import Params
    from model.embedding.embedder import Embedder
    from visualization.tracks.tracking import Tracks

_LINES_SHOWN = 10  # of what was left out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add = parser.add_argument
    add("--frames", required=True, metavar="DIR", help="a snippet's pictures: 000000.JPEG ...")
    add("--annotations", required=True, metavar="DIR", help="their annotations as of ImageNet VID: 000000.xml ...")
    add("--checkpoint", default="latest", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)")
    add("--out", metavar="DIR", help="folder to write to (default: RUN/tracks/<name of the folder of frames>)")
    add(
        "--format",
        default="gif",
        choices=("gif", "mp4"),
        help="of the animation (default: gif; mp4 is smaller and needs PyAV)",
    )
    add(
        "--fps",
        type=float,
        default=5.0,
        metavar="N",
        help="frames a second (default: 5); in a GIF a frame lasts whole hundredths of a second: 30 becomes 33.3",
    )
    add("--every", type=int, default=1, metavar="N", help="take every Nth frame (default: 1)")
    add("--skip_occluded", action="store_true", help="leave out objects that are marked as occluded")
    add("--max_distance", type=float, metavar="X", help="do not match a pair farther apart (default: no limit)")
    add("--context", type=float, metavar="C", help="margin around a box, as a share of width + height (default: 0.01)")
    add("--width", type=int, default=640, metavar="N", help="show frames at most N pixels wide (default: 640)")
    add(
        "--sections",
        type=int,
        default=50,
        metavar="N",
        help="the page has the distances of N pairs of frames: first those with something wrong (default: 50)",
    )


def run(args: argparse.Namespace) -> int:
    _check_numbers(args)

    from model.run.checkpoint_files import find_checkpoint
    from model.run.run_folder import RunFolder
    from runtime.progress import Progress
    from visualization.tracks.animation import check_format, check_length
    from visualization.tracks.boxes import shown_size
    from visualization.tracks.folder import check_folder, source_of
    from visualization.tracks.object_crops import write_object_crops

    folder = RunFolder(args.model_dir)
    params = folder.load_trained_params(args.set)
    checkpoint = find_checkpoint(folder.folder, args.checkpoint)
    check_format(args.format)
    name = Path(args.frames).resolve().name
    if not (name or args.out):
        raise UserError(f"--frames {args.frames}: a folder without a name; say with --out where to write")
    out = Path(args.out) if args.out else folder.folder / "tracks" / name
    frames, left_out = _read(args)
    size = shown_size((frames[0].frame.width, frames[0].frame.height), args.width)
    check_length(args.format, len(frames), size, args.every)
    check_folder(out, source_of(args.frames))
    embedder = _load(checkpoint, params, args.device)

    from visualization.tracks.matching import match

    with tempfile.TemporaryDirectory() as temporary:
        progress = Progress("cropped", len(frames), "frames")
        files = write_object_crops(frames, Path(temporary), args.context, progress)
        embeddings = _embed(files, embedder, checkpoint)
        tracks, figures = match(frames, embeddings, params.metric, args.max_distance)
        facts = _facts(args, checkpoint, params.metric, frames, left_out)
        _write(args, out, frames, tracks, figures, facts, files)
    return 0


def _check_numbers(args: argparse.Namespace) -> None:
    ranges = {
        "fps": (0.1, 50),
        "every": (1, math.inf),
        "max_distance": (0, math.inf),
        "context": (0, 10),
        "width": (64, 4096),
        "sections": (0, math.inf),
    }
    for name, (low, high) in ranges.items():
        value = getattr(args, name)
        if value is not None and not (low <= value <= high and math.isfinite(value)):
            limits = f"from {low:g} to {high:g}" if high < math.inf else f"a number of at least {low:g}"
            raise UserError(f"--{name} {value:g}: it must be {limits}")


def _read(args: argparse.Namespace) -> "tuple[list[AnnotatedFrame], list[str]]":
    """The frames, and lines of what was left out, which are printed at once: they may explain an error."""
    from dataset.vid.annotated_frames import read_annotated_frames
    from visualization.kit.printable import printable

    frames, lines = read_annotated_frames(
        Path(args.frames), Path(args.annotations), every=args.every, skip_occluded=args.skip_occluded
    )
    left_out = [printable(line) for line in lines[:_LINES_SHOWN]]
    if len(lines) > _LINES_SHOWN:
        left_out.append(f"and {len(lines) - _LINES_SHOWN:,} more")
    for line in left_out:
        print(line, flush=True)
    having = sum(bool(f.frame.objects) for f in frames)
    if having < 2:
        what = "objects that are not occluded" if args.skip_occluded else "objects"
        raise UserError(
            f"{args.annotations}: of {len(frames):,} frames {having} have {what}; to match, there must be two"
        )
    return frames, left_out


def _load(checkpoint: Path, params: "Params", device: str) -> "Embedder":
    """The network, restored: whatever is wrong with it or with the device shows before any frame is cropped."""
    from model.run.devices import prepare

    prepare(device, params.deterministic)
    from model.embedding.embedder import Embedder
    from model.network.build import build_embedder
    from model.run.restore import restore_model

    model = build_embedder(params)
    restore_model(checkpoint, model)
    return Embedder(model, params)


def _embed(files: list[list[str]], embedder: "Embedder", checkpoint: Path) -> "list[np.ndarray]":
    """The embeddings of each frame's objects: (N, D) per frame."""
    import numpy as np

    from runtime.progress import Progress

    flat = [file for own in files for file in own]
    embeddings = embedder.embed(flat, np.ones(len(flat), np.uint8), progress=Progress("embedded", len(flat), "objects"))
    if not np.isfinite(embeddings).all():
        raise UserError(f"{checkpoint}: it gives embeddings that are no numbers; use another checkpoint")
    return np.split(embeddings, np.cumsum([len(own) for own in files])[:-1])


def _facts(
    args: argparse.Namespace, checkpoint: Path, metric: str, frames: "Sequence[AnnotatedFrame]", left_out: list[str]
) -> dict[str, str]:
    """What the head of the page says."""
    from model.run.checkpoint_files import step_of
    from visualization.kit.printable import printable
    from visualization.tracks.animation import frames_a_second

    return {
        "run": printable(args.model_dir),
        "checkpoint": printable(checkpoint),
        "step": f"{step_of(checkpoint):,}",
        "metric": metric,
        "largest distance matched": "no limit" if args.max_distance is None else f"{args.max_distance:g}",
        "frames": f"{len(frames):,} of {printable(args.frames)}" + (f", one in {args.every}" if args.every > 1 else ""),
        "frames a second": f"{frames_a_second(args.format, args.fps):.3g}",
        "objects": f"{sum(len(f.frame.objects) for f in frames):,}"
        + (", occluded ones left out" if args.skip_occluded else ""),
        "left out": "; ".join(left_out) or "nothing",
    }


def _write(
    args: argparse.Namespace,
    out: Path,
    frames: "Sequence[AnnotatedFrame]",
    tracks: "Tracks",
    figures: list[list[str]],
    facts: dict[str, str],
    files: list[list[str]],
) -> None:
    """Draws the animation, writes it and the page, and prints the figures."""
    from runtime.files import replace_file
    from runtime.progress import Progress
    from visualization.kit.printable import printable
    from visualization.tracks.animation import write_animation
    from visualization.tracks.boxes import RESERVED
    from visualization.tracks.folder import PAGE, replaced_together, source_of
    from visualization.tracks.matching import NOTES, as_text
    from visualization.tracks.matrices import Objects
    from visualization.tracks.object_crops import thumbnail
    from visualization.tracks.tracks_page import tracks_page
    from visualization.tracks.video import drawn_frames

    name = printable(Path(args.frames).resolve().name or args.frames)
    objects = Objects(
        names=[f.frame.name for f in frames],
        trackids=[tuple(o.trackid for o in f.frame.objects) for f in frames],
        thumbnail=lambda frame, place: thumbnail(files[frame][place]),
    )
    with replaced_together(out) as temporary:
        animation = temporary / f"tracks.{args.format}"
        drawn = drawn_frames(frames, tracks, args.width, Progress("drew", len(frames), "frames"))
        write_animation(animation, drawn, args.fps, RESERVED)
        page = tracks_page(
            title=f"Objects of {name} matched from frame to frame",
            source=source_of(args.frames),
            facts=facts,
            figures=figures,
            notes=NOTES,
            animation=animation,
            objects=objects,
            tracks=tracks,
            limit=args.sections,
        )
        with replace_file(temporary / PAGE) as file:
            file.write(page)
    print(as_text(figures))
    print(f"wrote {printable(out / animation.name)} and {printable(out / PAGE)}")
