"""Embeddings of files that embed.py wrote."""

import argparse
from pathlib import Path

import numpy as np

from dataset.formats.manifest import Manifest, read_manifest
from dataset.formats.prepared import image_root_of
from model.distances import list_distances
from model.embedding.hdf5_file import Embeddings, embeddings_of, read_embeddings, trained_metric
from runtime import plugins
from runtime.errors import UserError
from visualization.kit.printable import printable
from visualization.sources.embedded_set import EmbeddedSet, Lists, assemble_set
from visualization.sources.output import default_folder


def read(args: argparse.Namespace) -> EmbeddedSet:
    """The set that --query_embeddings and the arguments that go with it name.

    Raises:
        UserError: for files that are wrong or do not belong together.
    """
    if args.gallery_embeddings and not args.excluder:
        names = ", ".join(plugins.choices("model.metrics.excluders"))
        raise UserError(f"--excluder is missing: what no query is compared with ({names})")
    sides = [_read_side(args, args.query_embeddings, args.query_dataset)]
    if args.gallery_embeddings:
        sides.append(_read_side(args, args.gallery_embeddings, args.gallery_dataset))
    manifests, embeddings, opens = zip(*sides, strict=True)
    sizes = [each.emb.shape[1] for each in embeddings]
    if len(set(sizes)) > 1:
        raise UserError(
            f"{args.query_embeddings} and {args.gallery_embeddings}: embeddings of {sizes[0]} and {sizes[1]} "
            "dimensions; compute both with one model"
        )
    first = embeddings[0].attributes
    facts = {"file": printable(" and ".join(filter(None, (args.query_embeddings, args.gallery_embeddings))))}
    facts |= {name: printable(str(first[name])) for name in ("checkpoint", "step", "aggregator") if name in first}
    trained = trained_metric(each.attributes for each in embeddings)
    return assemble_set(
        Lists(manifests[0], manifests[-1], args.excluder or "diagonal"),
        np.concatenate([each.emb for each in embeddings]) if len(sides) > 1 else embeddings[0].emb,
        args.metric or (trained if trained in list_distances() else "euclidean"),
        title=printable(Path(args.query_embeddings).name),
        facts=facts,
        out=default_folder(args),
        can_open=(opens[0], opens[-1]),
    )


def _read_side(args: argparse.Namespace, file: str, csv: str | None) -> tuple[Manifest, Embeddings, bool]:
    """The list, the embeddings, and whether it is known where the images are."""
    root = args.image_root or None
    if root is not None and not Path(root).is_dir():
        raise UserError(f"--image_root {root}: there is no such folder")
    if csv is None:
        embeddings = read_embeddings(Path(file), variants=False)
        if embeddings.paths is None or embeddings.identities is None:
            side = "query" if file == args.query_embeddings else "gallery"
            raise UserError(f"{file}: it does not tell the paths and identities of its images: give --{side}_dataset")
        manifest = Manifest(embeddings.identities, embeddings.paths, Path(root or ""), Path(file))
        return manifest, embeddings, root is not None
    path = Path(csv)
    manifest = read_manifest(path, image_root_of(path, root))
    told = root is not None or (path.parent / "dataset.json").exists()
    return manifest, embeddings_of(Path(file), manifest)[0], told or Path(manifest.files()[0]).is_file()
