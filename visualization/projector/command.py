"""Runs `visualize.py projector`."""

import argparse
import shlex

from runtime.counting import counted
from runtime.printable import print_line, printable
from visualization.sources.arguments import check_output_folder
from visualization.sources.embedded_set import make_points, pair_sides
from visualization.sources.opening import open_embeddings
from visualization.tensorboard.projector import CONFIG, Projector


def run(args: argparse.Namespace) -> int:
    out = check_output_folder(args, args.out, "projector", {CONFIG, "projector"})
    source = open_embeddings(args, labelled=False)
    sides = pair_sides(source.lists, source.embeddings)
    points = [make_points(*side, opens) for side, opens in zip(sides, source.can_open, strict=False)]
    step = f", step {source.facts['step']}" if "step" in source.facts else ""
    projector = Projector(out, args.images, args.seed)
    projector.write(points[0], points[-1], f"{source.title}{step}")
    if not projector.pictures:
        print_line("no small pictures: the images are not where the list says; set their folder with --image_root DIR")
    elif missing := projector.shown - projector.pictures:
        print_line(f"{counted(missing, 'image')} cannot be opened: grey in the projector")
    total = sum(map(len, points))
    shown = f"{projector.shown:,} of {total:,} images of {source.title}"
    print_line(f"wrote {out}: {shown}; {source.embeddings.shape[1]} dimensions")
    print_line(f"to open it: tensorboard --logdir {shlex.quote(printable(out))}, then http://localhost:6006/#projector")
    return 0
