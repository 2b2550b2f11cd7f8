"""Runs `visualize.py embedding`."""

import argparse

from runtime.counting import counted
from runtime.printable import print_line
from visualization.embedding.flat_positions import check_umap, draw_images, flatten, neighbour_share
from visualization.embedding.scatter import choose_highlighted, draw_embedding
from visualization.kit.figure_page import write_figure
from visualization.sources.arguments import check_output_file
from visualization.sources.embedded_set import check_can_open
from visualization.sources.opening import open_source

_MEANING = {
    "pca": "Principal components keep distances as well as two directions can; all other directions are lost.",
    "tsne": "t-SNE keeps neighbours together. The size of a group and the distance between groups mean nothing.",
    "umap": "UMAP keeps neighbours together. The size of a group and the distance between groups mean little.",
}
_NEAREST = (
    "Nearest image has the same identity: share of the shown images, by the distances of the embedding and by the "
    "distances in the picture. If the two shares differ much, do not trust the picture."
)


def run(args: argparse.Namespace) -> int:
    if args.method == "umap":
        check_umap()
    out = check_output_file(args, args.out, "embedding.html")
    embedded = open_source(args)
    if args.thumbnails:
        check_can_open(embedded.query)
        check_can_open(embedded.gallery)
    drawn = draw_images(embedded, args.images, args.seed)
    shown = f"{len(drawn):,} images of {counted(len(set(drawn.identities)), 'identity')}"
    print_line(f"placing {shown} by {args.method}")
    flat = flatten(drawn.emb, embedded.metric, args.method, args.seed, args.perplexity)
    true = neighbour_share(drawn.emb, drawn.identities, embedded.metric)
    metrics = [["shown", shown], ["nearest image has the same identity, embedding", f"{true:.1%}"]]
    if not flat.collapsed:
        seen = neighbour_share(flat.positions, drawn.identities)
        metrics.append(["nearest image has the same identity, picture", f"{seen:.1%}"])
    near = "; ".join(f"{name.rpartition(', ')[2]} {value}" for name, value in metrics[1:])
    title = [embedded.heading(), f"{shown}; {flat.note}", f"nearest image has the same identity: {near}"]
    names = choose_highlighted(drawn.identities, args.identities, args.seed)
    pixels, spots = draw_embedding(drawn, flat.positions, names, title, args.thumbnails)
    write_figure(
        out,
        pixels,
        title=f"Embedding: {embedded.title}",
        intro="Each point is an image; images with similar embeddings are near each other. Look for identities that "
        "are split, and for identities that overlap. Point at an image to read its identity and file.",
        facts=embedded.facts | {"placed by": flat.note},
        label="images as points; the pointer shows their names",
        metrics=metrics,
        notes=[_MEANING[args.method], _NEAREST],
        spots=spots,
    )
    for name, value in metrics:
        print_line(f"{name}: {value}")
    print_line(f"wrote {out}")
    return 0
