"""Embeddings of a set, by the network of a run."""

import argparse
from pathlib import Path
from typing import Any

from runtime.errors import UserError
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.output import default_folder


def _from_run(args: argparse.Namespace) -> "EmbeddedSet":
    from dataset.formats.prepared import open_prepared
    from dataset.loading.checked import load_images
    from model.run.checkpoint_files import find_checkpoint, step_of
    from model.run.run_folder import RunFolder
    from visualization.kit.printable import printable
    from visualization.sources.embedded_set import Lists, default_excluder, embedded_set

    run = RunFolder(args.model_dir)
    params = run.load_trained_params(args.set)
    checkpoint = find_checkpoint(run.folder, args.checkpoint or "latest")
    prepared = open_prepared(args.dataset or params.dataset)
    chosen = choose_set(prepared, args.eval_set)
    policy = (prepared.image_root, params.check_images, params.corrupt_images)
    checked = [load_images(file, *policy) for file in chosen.files]
    query, gallery = checked[0].manifest, checked[-1].manifest
    excluder = args.excluder or default_excluder(query, gallery)
    lists = Lists(query, gallery, excluder, params.eval_pool_sequences)

    import numpy as np

    orientations = np.concatenate([part.orientations for part in checked])
    return embedded_set(
        lists,
        _embed(args, checkpoint, params, lists.files(), orientations),
        args.metric or params.metric,
        title=printable(f"{prepared.name}, {chosen.name}"),
        facts={
            "run": printable(run.folder),
            "checkpoint": printable(checkpoint.name),
            "step": f"{step_of(checkpoint):,}",
            "data set": printable(prepared.folder),
            "set": printable(chosen.name),
        },
        out=default_folder(args),
    )


def choose_set(prepared: Any, name: str | None) -> Any:
    """The retrieval set of that name; `test` where there is one, else `query_gallery`.

    Raises:
        UserError: when there is none, or it is one of episodes.
    """
    sets = {each.name: each for each in prepared.evaluation_sets if each.kind != "episodes"}
    if name is None and sets:
        return sets.get("test") or next(iter(sets.values()))
    if name in sets:
        return sets[name]
    if not sets:
        raise UserError(
            f"{prepared.folder}: it has no retrieval set (test.csv, or query.csv and gallery.csv), only what has no "
            "ranking; name another --dataset, or embed a list with embed.py and give --query_embeddings"
        )
    raise UserError(f"--eval_set {name}: {prepared.folder} has no such retrieval set; it has {', '.join(sets)}")


def _embed(args: argparse.Namespace, checkpoint: Path, params: Any, files: list[str], orientations: Any) -> Any:
    """The embeddings of the files: (N, D)."""
    from model.run.devices import prepare

    prepare(args.device, params.deterministic)
    import numpy as np

    from model.embedding.embedder import Embedder
    from model.network.build import build_embedder
    from model.run.restore import restore_model
    from runtime.progress import Progress

    model = build_embedder(params)
    restore_model(checkpoint, model)
    embeddings = Embedder(model, params).embed(files, orientations, progress=Progress("embedded", len(files), "images"))
    if not np.isfinite(embeddings).all():
        raise UserError(f"{checkpoint}: it gives embeddings that are no numbers; use another checkpoint")
    return embeddings
