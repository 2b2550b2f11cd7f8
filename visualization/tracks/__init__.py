"""Objects of a video matched from frame to frame by the embedding: an animation, and a page with the distances.

The annotated objects of each frame are matched to those of the last frame before it that has any, such that the sum of
distances is smallest. Written are RUN/tracks/NAME/tracks.gif (or .mp4) and tracks.html, never over those of other
frames. Annotations tell which matches are right; matching by the overlap of boxes is counted beside it: an embedding
should be better than position alone.
"""

import argparse

from model.run.arguments import add_run_arguments
from visualization.sources.arguments import add_number


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
    add_number(parser, "--fps", "frames a second; GIFs show 30 as 33.3", default=5, least=0.1, most=50, kind=float)
    add_number(parser, "--every", "take every Nth frame", default=1, least=1)
    add("--skip_occluded", action="store_true", help="leave out objects that are marked as occluded")
    add_number(parser, "--max_distance", "do not match a pair farther apart (default: no limit)", kind=float)
    add_number(parser, "--context", "margin around a box, of width + height (default: 0.01)", most=10, kind=float)
    add_number(parser, "--width", "show frames at most N pixels wide", default=640, least=64, most=4096)
    add_number(parser, "--sections", "pairs of frames on the page: first those with something wrong", default=50)
