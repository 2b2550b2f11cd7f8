"""Runs `visualize.py embedding`."""

import argparse
from pathlib import Path

import numpy as np

from runtime.errors import UserError
from visualization.embedding.flat_positions import Drawn, Flat, check_umap, draw_images, flatten, neighbour_share
from visualization.embedding.scatter import choose_highlighted, draw_embedding
from visualization.kit.figure_page import write_figure
from visualization.kit.plotting import make_figure, pixels_of
from visualization.kit.thumbnails import open_small
from visualization.sources.embedded_set import EmbeddedSet, check_can_open
from visualization.sources.opening import open_source
from visualization.sources.output import check_output_file


def run(args: argparse.Namespace) -> int:
    if args.method == "umap":
        check_umap()
    out = check_output_file(args, args.out, "embedding.html")
    make_figure(1, 1)  # whether it can be drawn is known before anything is embedded
    embedded = open_source(args)
    if args.thumbnails:
        check_can_open(embedded.query)
        check_can_open(embedded.gallery)
    drawn = draw_images(embedded, args.images, args.seed)
    count = len(set(drawn.identities))
    print(f"placing {len(drawn.paths):,} images of {count:,} identities by {args.method}", flush=True)
    flat = flatten(drawn.emb, embedded.metric, args.method, args.seed, args.perplexity)
    metrics = _metrics(embedded, drawn, flat)
    names = choose_highlighted(drawn.identities, args.identities, args.seed)
    thumbnail = _thumbnail if args.thumbnails else None
    figure, spots = draw_embedding(drawn, flat.positions, names, _title(embedded, flat, metrics), thumbnail)
    pixels = pixels_of(figure, dots=130)
    write_figure(
        out,
        pixels,
        title=f"Embedding: {embedded.title}",
        facts=embedded.facts | {"placed by": flat.note},
        label="images as points of a plane; the pointer finds their names",
        metrics=metrics,
        notes=_notes(args.method),
        spots=spots(),
    )
    for name, value in metrics:
        print(f"{name}: {value}")
    print(f"wrote {out}")
    return 0


def _metrics(embedded: EmbeddedSet, drawn: Drawn, flat: Flat) -> list[list[str]]:
    """What the picture is of, and how true it is."""
    true = neighbour_share(drawn.emb, drawn.identities, embedded.metric)
    rows = [
        ["shown", f"{len(drawn.paths):,} images of {len(set(drawn.identities)):,} identities"],
        ["nearest is of the same identity, embedding", f"{true:.1%}"],
    ]
    if not flat.collapsed:
        seen = neighbour_share(flat.positions, drawn.identities)
        rows.append(["nearest is of the same identity, picture", f"{seen:.1%}"])
    return rows


def _title(embedded: EmbeddedSet, flat: Flat, metrics: list[list[str]]) -> list[str]:
    near = "; ".join(f"{name.rpartition(', ')[2]} {value}" for name, value in metrics[1:])
    return [
        embedded.heading(),
        f"{metrics[0][1]}; {flat.note}",
        f"nearest image is of the same identity: {near}",
    ]


def _notes(method: str) -> list[str]:
    meaning = {
        "pca": "Principal components keep distances as well as two directions can; what lies in others is not seen.",
        "tsne": "t-SNE keeps neighbours together; how large groups are, and how far apart, means nothing.",
        "umap": "UMAP keeps neighbours together; how large groups are, and how far apart, means little.",
    }
    return [
        meaning[method],
        "Nearest is of the same identity: of the images shown, the share whose nearest other one is of their identity, "
        "by the embedding and by the places in the picture. The nearer the two are, the truer the picture.",
    ]


def _thumbnail(file: str) -> np.ndarray:
    """A small picture of a file: (h, w, 3) uint8, upright."""
    picture = open_small(Path(file), 96)
    if picture is None:
        raise UserError(f"{file}: cannot be read as an image; leave out --thumbnails, or mend it")
    return np.asarray(picture)
