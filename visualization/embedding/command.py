"""The embedding as a plane: images are points, near each other where their embeddings are (t-SNE, UMAP, PCA).

Whole identities are drawn from the set. Some are told apart by colour and shape, the others are grey; --thumbnails
draws the images themselves where there is room. On the page (.html), the pointer finds the name of each image.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import UserError
from visualization.sources.arguments import add_source_arguments
from visualization.sources.opening import open_source
from visualization.sources.output import output_file

if TYPE_CHECKING:
    import numpy as np

    from visualization.embedding.flat_positions import Drawn, Flat
    from visualization.sources.embedded_set import EmbeddedSet

_MOST_IMAGES = 20_000  # for which t-SNE takes minutes, not hours


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help="HTML or PNG file (default: RUN/pictures/embedding.html, or beside Q.h5)")
    add(
        "--method",
        default="tsne",
        choices=("tsne", "umap", "pca"),
        help="t-SNE (default), UMAP (needs umap-learn), or the two principal components",
    )
    add("--images", type=int, default=2000, metavar="N", help="images to draw, by whole identities (default: 2000)")
    add("--identities", type=int, default=8, metavar="N", help="identities in colours, at most 24 (default: 8)")
    add("--perplexity", type=float, default=30.0, metavar="X", help="t-SNE's, and UMAP's neighbours (default: 30)")
    add("--thumbnails", action="store_true", help="draw the images where there is room")
    add("--seed", type=int, default=0, metavar="N", help="of the identities, and of t-SNE or UMAP (default: 0)")


def run(args: argparse.Namespace) -> int:
    _check(args)
    out = output_file(args, "embedding.html", (".html", ".png"))

    from visualization.kit.plotting import new_figure

    new_figure(1, 1)  # whether it can be drawn is known before anything is embedded
    embedded = open_source(args)

    from visualization.embedding.flat_positions import draw_images, flatten
    from visualization.embedding.scatter import embedding_figure, highlighted, with_titles
    from visualization.kit.figure_page import figure_page, write_page, write_png
    from visualization.kit.plotting import pixels_of, png_of, png_uri
    from visualization.sources.embedded_set import check_can_open

    if args.thumbnails:
        check_can_open(embedded.query)
        check_can_open(embedded.gallery)
    drawn = draw_images(embedded, args.images, args.seed)
    count = len(set(drawn.identities))
    print(f"placing {len(drawn.paths):,} images of {count:,} identities by {args.method}", flush=True)
    flat = flatten(drawn.emb, embedded.metric, args.method, args.seed, args.perplexity)
    figures = _figures(embedded, drawn, flat)
    title = _title(embedded, flat, figures)
    names = highlighted(drawn.identities, args.identities, args.seed)
    thumbnail = _thumbnail if args.thumbnails else None
    figure, spots = embedding_figure(drawn, flat.positions, names, title, thumbnail)
    pixels = pixels_of(figure, dots=130)
    if out.suffix.lower() == ".html":
        label = "images as points of a plane; the pointer finds their names"
        picture = with_titles(pixels, png_uri(pixels), spots(), label)
        facts = embedded.facts | {"placed by": flat.note}
        write_page(out, figure_page(f"Embedding: {embedded.title}", facts, picture, figures, _notes(args.method)))
    else:
        write_png(out, png_of(pixels))
    for name, value in figures:
        print(f"{name}: {value}")
    print(f"wrote {out}")
    return 0


def _check(args: argparse.Namespace) -> None:
    from visualization.embedding.scatter import MOST_HIGHLIGHTED

    for name, low, high in (("images", 3, _MOST_IMAGES), ("identities", 0, MOST_HIGHLIGHTED), ("perplexity", 1, 1000)):
        value = getattr(args, name)
        if not low <= value <= high:
            raise UserError(f"--{name} {value:g}: it must be from {low:,} to {high:,}")
    if not 0 <= args.seed < 2**32:
        raise UserError(f"--seed {args.seed}: it must be from 0 to 4294967295")
    if args.method == "umap":
        from visualization.embedding.flat_positions import check_umap

        check_umap()


def _figures(embedded: "EmbeddedSet", drawn: "Drawn", flat: "Flat") -> list[list[str]]:
    """What the picture is of, and how true it is."""
    from visualization.embedding.flat_positions import neighbour_share

    true = neighbour_share(drawn.emb, drawn.identities, embedded.metric)
    rows = [
        ["shown", f"{len(drawn.paths):,} images of {len(set(drawn.identities)):,} identities"],
        ["nearest is of the same identity, embedding", f"{true:.1%}"],
    ]
    if not flat.collapsed:
        seen = neighbour_share(flat.positions, drawn.identities)
        rows.append(["nearest is of the same identity, picture", f"{seen:.1%}"])
    return rows


def _title(embedded: "EmbeddedSet", flat: "Flat", figures: list[list[str]]) -> list[str]:
    step = f", step {embedded.facts['step']}" if "step" in embedded.facts else ""
    near = "; ".join(f"{name.rpartition(', ')[2]} {value}" for name, value in figures[1:])
    return [
        f"{embedded.title}{step}, {embedded.metric} distance",
        f"{figures[0][1]}; {flat.note}",
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


def _thumbnail(file: str) -> "np.ndarray":
    """A small picture of a file: (h, w, 3) uint8, upright."""
    import numpy as np

    from visualization.kit.thumbnails import open_small

    picture = open_small(Path(file), 96)
    if picture is None:
        raise UserError(f"{file}: cannot be read as an image; leave out --thumbnails, or mend it")
    return np.asarray(picture)
