"""Objects of a video matched from frame to frame by the embedding: an animation, and a page with the distances.

The annotated objects of each frame are matched to those of the last frame before it that has any, such that the sum of
distances is smallest. Written are RUN/tracks/NAME/tracks.gif (or .mp4) and tracks.html, never over those of other
frames. Annotations tell which matches are right; matching by the overlap of boxes is counted beside it: an embedding
should be better than position alone.
"""

import argparse

from model.run.arguments import add_run_arguments


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
