"""Runs `visualize.py distances`."""

import argparse

from runtime.printable import print_line, print_lines
from visualization.distances.histogram_figure import NOTES, draw_distances, metrics_of
from visualization.distances.histograms import count_distances
from visualization.kit.figure_page import write_figure
from visualization.kit.plotting import pixels_of
from visualization.sources.arguments import check_output_file
from visualization.sources.opening import open_source


def run(args: argparse.Namespace) -> int:
    out = check_output_file(args, args.out, "distances.png", (".png", ".html"))
    embedded = open_source(args)
    histograms = count_distances(embedded, args.fpr)
    pixels = pixels_of(draw_distances(embedded, histograms, log=args.log), dots=150)
    metrics = metrics_of(histograms)
    write_figure(
        out,
        pixels,
        title=f"Distances of positive and negative pairs: {embedded.title}",
        intro="How far apart images of one identity are (blue), and images of two identities (orange). The less they "
        "overlap, the better. Look at the left tail of the orange ones: these are the look-alikes.",
        facts=embedded.facts,
        label="histograms of the distances; the table has the numbers",
        metrics=metrics,
        notes=NOTES,
    )
    width = max(len(name) for name, _ in metrics)
    print_lines("\n".join(f"{name:<{width}}  {value}" for name, value in metrics))
    print_line(f"wrote {out}")
    return 0
