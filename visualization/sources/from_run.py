"""Embeddings of a set, by the network of a run."""

import argparse

import numpy as np

from dataset.formats.prepared import PreparedDataset, open_prepared
from dataset.loading.checked import load_images
from model.evaluation.ready_set import EvaluationSet
from model.evaluation.sets import find_evaluation_sets, load_kinds
from model.metrics.excluders import default_excluder
from model.run import devices
from model.run.checkpoint_files import find_checkpoint, step_of
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from visualization.kit.printable import printable
from visualization.sources.embedded_set import EmbeddedSet, Lists, assemble_set
from visualization.sources.output import default_folder


def embed(args: argparse.Namespace) -> EmbeddedSet:
    """The set that --model_dir and the arguments that go with it name, embedded.

    Raises:
        UserError: for parameters, lists, images or checkpoints that are wrong.
    """
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
    orientations = np.concatenate([part.orientations for part in checked])

    devices.prepare(args.device, params.deterministic)
    from visualization.sources.network import load_embed

    return assemble_set(
        lists,
        load_embed(checkpoint, params)(lists.files(), orientations, "images"),
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


def choose_set(prepared: PreparedDataset, name: str | None) -> EvaluationSet:
    """The retrieval set of that name; `test` where there is one, else `query_gallery`.

    Raises:
        UserError: when there is none, or it is one of episodes.
    """
    found, kinds = find_evaluation_sets(prepared.folder), load_kinds()
    sets = {each.name: each for each in found if "rankings" in kinds[each.kind].PICTURES}
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
