"""Objects of a video matched from frame to frame by the embedding: an animation, and a page with the distances.

The annotated objects of each frame are matched to those of the last frame before it that has any, such that the sum of
distances is smallest. Written are RUN/tracks/NAME/tracks.gif (or .mp4) and tracks.html. Annotations tell which matches
are right; matching by the overlap of boxes is counted beside it: an embedding should be better than position alone.
"""

import argparse
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dataset.errors import UserError
from model.command_line import add_run_arguments

if TYPE_CHECKING:
    import numpy as np

    from model.params import Params

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
    add("--fps", type=float, default=5.0, metavar="N", help="frames a second (default: 5)")
    add("--every", type=int, default=1, metavar="N", help="take every Nth frame (default: 1)")
    add("--skip_occluded", action="store_true", help="leave out objects that are marked as occluded")
    add("--max_distance", type=float, metavar="X", help="do not match a pair farther apart (default: no limit)")
    add("--context", type=float, metavar="C", help="margin around a box, as a share of width + height (default: 0.01)")
    add("--width", type=int, default=640, metavar="N", help="show frames at most N pixels wide (default: 640)")
    add(
        "--pages_limit",
        type=int,
        default=50,
        metavar="N",
        help="the page has all pairs of frames where something is wrong and the first N others (default: 50)",
    )


def run(args: argparse.Namespace) -> int:
    _check_numbers(args)

    from dataset.files import replace_file
    from dataset.vid.annotated_frames import read_annotated_frames
    from model.checkpoint_files import find_checkpoint, step_of
    from model.run_folder import RunFolder
    from model.visualization.animation import check_format, write_animation
    from model.visualization.drawing import RESERVED
    from model.visualization.object_crops import thumbnail, write_object_crops

    folder = RunFolder(args.model_dir)
    params = folder.load_trained_params(args.set)
    checkpoint = find_checkpoint(folder.folder, args.checkpoint)
    check_format(args.format)
    pictures = Path(args.frames)
    frames, left_out = read_annotated_frames(
        pictures, Path(args.annotations), every=args.every, skip_occluded=args.skip_occluded
    )
    if sum(bool(f.frame.objects) for f in frames) < 2:
        raise UserError(f"{args.annotations}: fewer than two frames with objects; there is nothing to match")
    name = pictures.resolve().name
    out = Path(args.out) if args.out else folder.folder / "tracks" / name
    with replace_file(out / ".write-test") as probe:  # makes the folder, before minutes are spent
        probe.write("")
    (out / ".write-test").unlink()
    left_out = left_out[:_LINES_SHOWN] + [f"and {more:,} more" for more in [len(left_out) - _LINES_SHOWN] if more > 0]
    for line in left_out:
        print(line)

    with tempfile.TemporaryDirectory() as temporary:
        files = write_object_crops(frames, Path(temporary), args.context)
        embeddings = _embed(files, checkpoint, params, args)
        thumbnails = [[thumbnail(file) for file in own] for own in files]

    from model.tracking import NO_OVERLAP, distance_matrix, expected_by_chance, overlap_distances, score, track
    from model.visualization.tracks_figures import NOTES, as_text, figures_of
    from model.visualization.tracks_page import Video, tracks_page
    from model.visualization.tracks_video import drawn_frames

    counts = [len(f.frame.objects) for f in frames]
    trackids = [tuple(o.trackid for o in f.frame.objects) for f in frames]
    boxes = [[o.box for o in f.frame.objects] for f in frames]
    tracks = track(counts, lambda a, b: distance_matrix(embeddings[a], embeddings[b], params.metric), args.max_distance)
    by_overlap = track(counts, lambda a, b: overlap_distances(boxes[a], boxes[b]), NO_OVERLAP)
    scores = {"embedding": score(tracks, trackids), "overlap of boxes": score(by_overlap, trackids)}
    figures = figures_of(scores, expected_by_chance(tracks, trackids))

    print(f"drawing {len(frames):,} frames", flush=True)
    animation = out / f"tracks.{args.format}"
    write_animation(animation, drawn_frames(frames, tracks, args.width), args.fps, RESERVED)
    facts = {
        "run": str(folder.folder),
        "checkpoint": str(checkpoint),
        "step": f"{step_of(checkpoint):,}",
        "metric": params.metric,
        "largest distance matched": "no limit" if args.max_distance is None else f"{args.max_distance:g}",
        "frames": f"{len(frames):,} of {pictures}" + (f", one in {args.every}" if args.every > 1 else ""),
        "objects": f"{sum(counts):,}" + (", occluded ones left out" if args.skip_occluded else ""),
        "left out": "; ".join(left_out) or "nothing",
    }
    video = Video([f.frame.name for f in frames], trackids, thumbnails, animation)
    title = f"Objects of {name} matched from frame to frame"
    page = tracks_page(title, facts, figures, NOTES, video, tracks, args.pages_limit)
    with replace_file(out / "tracks.html") as file:
        file.write(page)
    print(as_text(figures))
    print(f"wrote {animation} and {out / 'tracks.html'}")
    return 0


def _check_numbers(args: argparse.Namespace) -> None:
    ranges = {
        "fps": (0.1, 50),
        "every": (1, math.inf),
        "max_distance": (0, math.inf),
        "context": (0, 10),
        "width": (64, 8192),
        "pages_limit": (0, math.inf),
    }
    for name, (low, high) in ranges.items():
        value = getattr(args, name)
        if value is not None and not (low <= value <= high and math.isfinite(value)):
            limits = f"from {low:g} to {high:g}" if high < math.inf else f"a number of at least {low:g}"
            raise UserError(f"--{name} {value:g}: it must be {limits}")


def _embed(files: list[list[str]], checkpoint: Path, params: "Params", args: argparse.Namespace) -> "list[np.ndarray]":
    """The embeddings of each frame's objects: (N, D) per frame."""
    from model.devices import prepare

    prepare(args.device, params.deterministic)
    import numpy as np

    from model.checkpoints import restore_model
    from model.embedder import build_embedder
    from model.embedding import Embedder

    model = build_embedder(params)
    restore_model(checkpoint, model)
    flat = [file for own in files for file in own]
    print(f"embedding {len(flat):,} objects of {len(files):,} frames with {checkpoint}", flush=True)
    embeddings = Embedder(model, params).embed(flat, np.ones(len(flat), np.uint8))
    if not np.isfinite(embeddings).all():
        raise UserError(f"{checkpoint}: it gives embeddings that are no numbers; use another checkpoint")
    return np.split(embeddings, np.cumsum([len(own) for own in files])[:-1])
