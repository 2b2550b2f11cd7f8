"""Distances of positive and negative pairs: their histograms, and the threshold of a false positive rate.

Counts all pairs of a query and a gallery image, in blocks: no sample. The threshold is the one that evaluate.py gives.
"""

import argparse

from runtime.errors import UserError
from visualization.sources.arguments import add_source_arguments
from visualization.sources.opening import open_source
from visualization.sources.output import output_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help="PNG or HTML file (default: RUN/pictures/distances.png, or beside the HDF5 file)")
    add("--fpr", type=float, default=1e-3, metavar="RATE", help="false positive rate of the threshold (default: 0.001)")
    add("--log", action="store_true", help="logarithmic densities, which show the tails")


def run(args: argparse.Namespace) -> int:
    if not 0 < args.fpr < 1:
        raise UserError(f"--fpr {args.fpr:g}: it must be between 0 and 1")
    out = output_file(args, "distances.png", (".png", ".html"))

    from visualization.kit.plotting import new_figure

    new_figure(1, 1)  # whether it can be drawn is known before anything is embedded
    embedded = open_source(args)

    from visualization.distances.histogram_figure import NOTES, distances_figure, figures_of
    from visualization.distances.histograms import distance_histograms
    from visualization.kit.figure_page import figure_page, write_page, write_png
    from visualization.kit.plotting import pixels_of, png_of, png_uri

    histograms = distance_histograms(embedded, args.fpr)
    pixels = pixels_of(distances_figure(embedded, histograms, log=args.log), dots=150)
    figures = figures_of(histograms)
    if out.suffix.lower() == ".html":
        picture = f'<img src="{png_uri(pixels)}" alt="histograms of the distances; the table has the numbers">'
        title = f"Distances of positive and negative pairs: {embedded.title}"
        write_page(out, figure_page(title, embedded.facts, picture, figures, NOTES))
    else:
        write_png(out, png_of(pixels))
    width = max(len(name) for name, _ in figures)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in figures))
    print(f"wrote {out}")
    return 0
