"""Embeddings of files that embed.py wrote."""

import argparse
import json
from pathlib import Path
from typing import Any

from model.evaluation.request import METRICS
from runtime.errors import UserError
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.output import default_folder


def _from_files(args: argparse.Namespace) -> "EmbeddedSet":
    import numpy as np

    from visualization.kit.printable import printable
    from visualization.sources.embedded_set import Lists, embedded_set

    if args.gallery_embeddings and not args.excluder:
        from runtime import plugins

        names = ", ".join(plugins.choices("model.metrics.excluders"))
        raise UserError(f"--excluder is missing: what no query is compared with ({names})")
    sides = [_read(args, args.query_embeddings, args.query_dataset)]
    if args.gallery_embeddings:
        sides.append(_read(args, args.gallery_embeddings, args.gallery_dataset))
    manifests, embeddings, opens = [each[0] for each in sides], [each[1] for each in sides], [each[2] for each in sides]
    sizes = [each.emb.shape[1] for each in embeddings]
    if len(set(sizes)) > 1:
        raise UserError(
            f"{args.query_embeddings} and {args.gallery_embeddings}: embeddings of {sizes[0]} and {sizes[1]} "
            "dimensions; compute both with one model"
        )
    first = embeddings[0].attributes
    facts = {"file": printable(" and ".join(filter(None, (args.query_embeddings, args.gallery_embeddings))))}
    facts |= {name: printable(str(first[name])) for name in ("checkpoint", "step", "aggregator") if name in first}
    return embedded_set(
        Lists(manifests[0], manifests[-1], args.excluder or "diagonal"),
        np.concatenate([each.emb for each in embeddings]) if len(sides) > 1 else embeddings[0].emb,
        args.metric or _trained_metric([each.attributes for each in embeddings]) or "euclidean",
        title=printable(Path(args.query_embeddings).name),
        facts=facts,
        out=default_folder(args),
        can_open=(opens[0], opens[-1]),
    )


def _read(args: argparse.Namespace, file: str, csv: str | None) -> Any:
    """The list, the embeddings, and whether it is known where the images are."""
    from dataset.formats.manifest import Manifest, read_manifest
    from model.embedding.hdf5_file import embeddings_of, read_embeddings

    root = Path(args.image_root) if args.image_root else None
    if root is not None and not root.is_dir():
        raise UserError(f"--image_root {root}: there is no such folder")
    if csv is None:
        embeddings = read_embeddings(Path(file), variants=False)
        if embeddings.paths is None or embeddings.identities is None:
            side = "query" if file == args.query_embeddings else "gallery"
            raise UserError(f"{file}: it does not tell the paths and identities of its images: give --{side}_dataset")
        manifest = Manifest(embeddings.identities, embeddings.paths, root or Path(), Path(file))
        return manifest, embeddings, root is not None
    path = Path(csv)
    if root is None and (path.parent / "dataset.json").exists():
        from dataset.formats.prepared import open_prepared

        root = open_prepared(str(path.parent)).image_root
    manifest = read_manifest(path, root or path.parent)
    known = root is not None or Path(manifest.files()[0]).is_file()
    return manifest, embeddings_of(Path(file), manifest)[0], known


def _trained_metric(attributes: list[dict[str, Any]]) -> str | None:
    """The metric that the network was trained with, if the files tell one and the same."""
    told = set()
    for each in attributes:
        try:
            told.add(json.loads(each["params"])["metric"])
        except (KeyError, TypeError, ValueError):
            return None
    return told.pop() if len(told) == 1 and told <= set(METRICS) else None
