"""Runs `visualize.py tracks`."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.vid.annotated_frames import AnnotatedFrame, read_annotated_frames
from dataset.vid.crop_writer import FrameCrops, write_crops
from dataset.vid.siamfc_crops import DEFAULT, CropSettings
from model.run import devices
from model.run.checkpoint_files import step_of
from runtime.errors import UserError
from runtime.printable import print_line, print_lines, printable
from runtime.progress import Progress
from runtime.tables import align
from visualization.kit.thumbnails import as_jpeg, shrunk
from visualization.sources.opening import open_run
from visualization.tracks.animation import check_format, check_length, frames_a_second, write_animation
from visualization.tracks.boxes import RESERVED, draw_frames, fit_size
from visualization.tracks.folder import PAGE, check_folder, replace_together
from visualization.tracks.tracking import NOTES, match
from visualization.tracks.video_page import render_tracks

_LINES_SHOWN = 10  # messages about skipped frames and objects
_THUMBNAIL = 64  # pixels


def run(args: argparse.Namespace) -> int:
    opened = open_run(args)
    params, checkpoint = opened.params, opened.checkpoint
    check_format(args.format)
    name = Path(args.frames).resolve().name
    if not (name or args.out):
        raise UserError(f"--frames {args.frames}: this folder has no name; name the folder to write with --out")
    out = Path(args.out) if args.out else opened.folder / "tracks" / name
    frames, skipped = _read(args)
    size = fit_size((frames[0].frame.width, frames[0].frame.height), args.width)
    check_length(args.format, len(frames), size, args.every)
    source = printable(Path(args.frames).resolve())
    check_folder(out, source)
    devices.prepare(args.device, params.deterministic)
    from visualization.sources.network import load_embed

    # Errors of the network or the device show before any frame is cropped.
    embed = load_embed(checkpoint, params)
    # Crops have their own folder: TensorFlow accepts only names in UTF-8.
    with tempfile.TemporaryDirectory() as crops, replace_together(out) as temporary:
        files = _cut_objects(frames, Path(crops), DEFAULT if args.context is None else CropSettings(args.context))
        flat = [file for own in files for file in own]
        flat_embeddings = embed(flat, np.ones(len(flat), np.uint8), "objects")
        embeddings = np.split(flat_embeddings, np.cumsum([len(own) for own in files])[:-1])  # (N, D) per frame
        tracks, metrics = match(frames, embeddings, params.metric, args.max_distance)

        animation = temporary / f"tracks.{args.format}"
        write_animation(animation, draw_frames(frames, tracks, args.width), args.fps, RESERVED)
        page = render_tracks(
            title=f"Objects of {printable(name or args.frames)} matched from frame to frame",
            source=source,
            facts=_facts(args, checkpoint, params.metric, frames, skipped),
            metrics=metrics,
            notes=NOTES,
            animation=animation,
            tracks=tracks,
            names=[f.frame.name for f in frames],
            thumbnail=lambda frame, place: as_jpeg(shrunk(Image.open(files[frame][place]), _THUMBNAIL)),
            limit=args.sections,
        )
        (temporary / PAGE).write_text(page, "utf-8")
    print_lines(align(metrics, left=1))
    print_line(f"wrote {out / animation.name} and {out / PAGE}")
    return 0


def _read(args: argparse.Namespace) -> tuple[list[AnnotatedFrame], list[str]]:
    """The frames, and messages about what was skipped, which are printed at once: they may explain an error."""
    frames, lines = read_annotated_frames(
        Path(args.frames), Path(args.annotations), every=args.every, skip_occluded=args.skip_occluded
    )
    skipped = [printable(line) for line in lines[:_LINES_SHOWN]]
    if len(lines) > _LINES_SHOWN:
        skipped.append(f"and {len(lines) - _LINES_SHOWN:,} more")
    for line in skipped:
        print_line(line)
    having = sum(bool(f.frame.objects) for f in frames)
    if having < 2:
        what = "objects that are not occluded" if args.skip_occluded else "objects"
        raise UserError(
            f"{args.annotations}: {having} of {len(frames):,} frames {'has' if having == 1 else 'have'} {what}; "
            "matching needs two"
        )
    return frames, skipped


def _cut_objects(frames: Sequence[AnnotatedFrame], folder: Path, settings: CropSettings) -> list[list[str]]:
    """Crops all objects from their frames, as for training: the files of each frame."""
    files, progress = [], Progress("cropped", len(frames), "frames")
    for number, (picture, frame) in enumerate((f.picture, f.frame) for f in frames):
        boxes = tuple((o.box, f"{number}.{place}.jpg") for place, o in enumerate(frame.objects))
        write_crops(FrameCrops(picture, frame, folder, boxes, settings))
        files.append([str(folder / name) for _, name in boxes])
        progress(number + 1)
    return files


def _facts(
    args: argparse.Namespace, checkpoint: Path, metric: str, frames: Sequence[AnnotatedFrame], skipped: list[str]
) -> dict[str, str]:
    """The lines of the page's head, by name."""
    return {
        "run": printable(args.model_dir),
        "checkpoint": printable(checkpoint),
        "step": f"{step_of(checkpoint):,}",
        "metric": metric,
        "largest distance matched": "no limit" if args.max_distance is None else f"{args.max_distance:g}",
        "frames": f"{len(frames):,} of {printable(args.frames)}" + f", one in {args.every}" * (args.every > 1),
        "frames per second": f"{frames_a_second(args.format, args.fps):.3g}",
        "objects": f"{sum(len(f.frame.objects) for f in frames):,}" + ", occluded ones skipped" * args.skip_occluded,
        "skipped": "; ".join(skipped) or "nothing",
    }
