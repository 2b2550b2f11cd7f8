"""Objects of a video, matched from frame to frame by their embeddings: an animation and a page with the distances.

The annotated objects of a frame are matched to those of the last frame before it with objects. The matches have the
smallest sum of distances. RUN/tracks/NAME gets tracks.gif (or .mp4) and tracks.html; files of other frames are never
overwritten. Annotations say which matches are right. Matching by the overlap of boxes is counted for comparison: an
embedding should be better than position alone.

>>> import numpy as np
>>> from visualization.tracks.tracking import assign
>>> assign(np.array([[0.1, 0.9], [0.8, 0.3]]))  # rows: objects of a frame; columns: objects of the next frame
((0, 0), (1, 1))
"""

import argparse

from model.run.arguments import add_run_arguments
from visualization.sources.arguments import add_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add = parser.add_argument
    add("--frames", required=True, metavar="DIR", help="images of the video: 000000.JPEG ...")
    add("--annotations", required=True, metavar="DIR", help="annotations in the form of ImageNet VID: 000000.xml ...")
    add("--checkpoint", default="latest", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)")
    add("--out", metavar="DIR", help="folder to write (default: RUN/tracks/<name of the folder of frames>)")
    add(
        "--format",
        default="gif",
        choices=("gif", "mp4"),
        help="format of the animation (default: gif; mp4 is smaller and needs PyAV)",
    )
    add_number(parser, "--fps", "frames per second; GIFs show 30 as 33.3", default=5, least=0.1, most=50, kind=float)
    add_number(parser, "--every", "take every Nth frame", default=1, least=1)
    add("--skip_occluded", action="store_true", help="skip objects that are marked as occluded")
    add_number(parser, "--max_distance", "do not match pairs farther apart (default: no limit)", kind=float)
    add_number(
        parser, "--context", "margin around a box, as a share of width + height (default: 0.01)", most=10, kind=float
    )
    add_number(parser, "--width", "largest width of a frame in pixels", default=640, least=64, most=4096)
    add_number(parser, "--sections", "number of pairs of frames on the page, those with errors first", default=50)
