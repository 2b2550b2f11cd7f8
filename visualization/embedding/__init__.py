"""The embedding as a plane: images are points, near each other where their embeddings are (t-SNE, UMAP, PCA).

Whole identities are drawn from the set. Some are told apart by colour and shape, the others are grey; --thumbnails
draws the images themselves where there is room. On the page (.html), the pointer finds the name of each image.
"""

import argparse

from visualization.sources.arguments import add_number, add_source_arguments


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
    # At most what t-SNE places in minutes, and a legend holds.
    add_number(parser, "--images", "images to draw, by whole identities", default=2000, least=3, most=20_000)
    add_number(parser, "--identities", "identities in colours, at most 24", default=8, most=24)
    add_number(parser, "--perplexity", "t-SNE's, and UMAP's neighbours", default=30.0, least=1, most=1000, kind=float)
    add("--thumbnails", action="store_true", help="draw the images where there is room")
    add_number(parser, "--seed", "of the identities, and of t-SNE or UMAP", default=0, most=2**32 - 1)
