"""The embedding in two dimensions: images with similar embeddings are near each other (t-SNE, UMAP, PCA).

Draws whole identities of the set. Some have colours and shapes, the others are grey; --thumbnails draws the images
where there is room. On the page (.html), point at an image to see its name.

>>> from visualization.embedding.scatter import look_of
>>> [look_of(number) for number in range(2)]  # colours and markers of the first identities
[('#E69F00', 'o'), ('#56B4E9', '^')]
"""

import argparse

from visualization.sources.arguments import add_number, add_source_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help=".html or .png (default: embedding.html in RUN/pictures or next to Q.h5)")
    add(
        "--method",
        default="tsne",
        choices=("tsne", "umap", "pca"),
        help="t-SNE (default), UMAP (needs umap-learn), or the two principal components",
    )
    # Limits: t-SNE takes minutes, and a legend has little room.
    add_number(parser, "--images", "number of images, drawn by whole identities", default=2000, least=3, most=20_000)
    add_number(parser, "--identities", "number of identities in colours, at most 24", default=8, most=24)
    add_number(
        parser,
        "--perplexity",
        "perplexity of t-SNE, or neighbours of UMAP",
        default=30.0,
        least=1,
        most=1000,
        kind=float,
    )
    add("--thumbnails", action="store_true", help="draw the images where there is room")
    add_number(parser, "--seed", "random seed of the identities, and of t-SNE or UMAP", default=0, most=2**32 - 1)
