"""Opens the source that a command's arguments name: a run, or files of embeddings."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.formats.manifest import Manifest, read_manifest
from dataset.formats.prepared import PreparedDataset, image_root_of, open_prepared
from dataset.loading.checked import CheckedImages, load_episodes, load_images
from model.configuration.params import Params
from model.distances import list_distances
from model.embedding.hdf5_file import Embeddings, embeddings_of, read_embeddings, trained_metric
from model.evaluation.sets import EvaluationSet, find_evaluation_sets, load_kinds
from model.metrics.excluders import default_excluder
from model.run import devices
from model.run.checkpoint_files import find_checkpoint, step_of
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.printable import printable
from visualization.sources.embedded_set import EmbeddedSet, Lists, assemble_set


class Run(NamedTuple):
    """A run's folder, the parameters of its training, and one of its checkpoints."""

    folder: Path
    params: Params
    checkpoint: Path

    def facts(self) -> dict[str, str]:
        """Lines of a page's head, by name."""
        return {
            "run": printable(self.folder),
            "checkpoint": printable(self.checkpoint.name),
            "step": f"{step_of(self.checkpoint):,}",
        }


class Source(NamedTuple):
    """Lists and embeddings (N, D) of their images: the arguments of `assemble_set`."""

    lists: Lists
    embeddings: np.ndarray
    metric: str
    title: str
    facts: dict[str, str]
    can_open: tuple[bool, bool]


def open_run(args: argparse.Namespace) -> Run:
    """The run of --model_dir, with --set and --checkpoint.

    Raises:
        UserError: for wrong parameters, or a checkpoint that does not exist.
    """
    run = RunFolder(args.model_dir)
    return Run(run.folder, run.load_trained_params(args.set), find_checkpoint(run.folder, args.checkpoint or "latest"))


def open_source(args: argparse.Namespace) -> EmbeddedSet:
    """The set that the arguments name, with its embeddings read or computed. Call `check_output_file` first.

    Raises:
        UserError: for files, lists, images or checkpoints that are wrong or do not fit together.
    """
    return assemble_set(**open_embeddings(args)._asdict())


def open_embeddings(args: argparse.Namespace, *, labelled: bool = True) -> Source:
    """The embeddings of the set without rankings: no image needs a match or, unless `labelled`, an identity.

    Raises:
        UserError: as `open_source`.
    """
    return _embed(args, labelled) if args.model_dir else _read(args, labelled)


def choose_set(prepared: PreparedDataset, name: str | None) -> EvaluationSet:
    """The retrieval set of that name; by default `test` if there is one, else `query_gallery`.

    Raises:
        UserError: when there is none, or it is a set of episodes.
    """
    found, kinds = find_evaluation_sets(prepared.folder), load_kinds()
    sets = {each.name: each for each in found if "rankings" in kinds[each.kind].PICTURES}
    if name is None and sets:
        return sets.get("test") or next(iter(sets.values()))
    if name in sets:
        return sets[name]
    if not sets:
        raise UserError(
            f"{prepared.folder}: it has no retrieval set (test.csv, or query.csv and gallery.csv) to rank; "
            "name another --dataset, or embed a list with embed.py and give --query_embeddings"
        )
    raise UserError(f"--eval_set {name}: {prepared.folder} has no such retrieval set; it has {', '.join(sets)}")


def _choose_unranked(prepared: PreparedDataset, name: str | None) -> Path | None:
    """The episodes of that name; by default, without a retrieval set, the first episodes, else train.csv.

    None if a retrieval set is wanted.
    """
    found, kinds = find_evaluation_sets(prepared.folder), load_kinds()
    episodes = {each.name: each.files[0] for each in found if each.kind == "episodes"}
    if name is not None:
        return episodes.get(name)
    if any("rankings" in kinds[each.kind].PICTURES for each in found):
        return None
    return next(iter(episodes.values()), prepared.train_csv)


def _load_unranked(csv: Path, prepared: PreparedDataset, params: Params) -> CheckedImages:
    """The images of episodes, with unknown identities, or of train.csv."""
    policy = (prepared.image_root, params.check_images, params.corrupt_images)
    if csv == prepared.train_csv:
        return load_images(csv, *policy)
    checked = load_episodes(csv, *policy)
    paths = checked.episodes.paths
    return CheckedImages(Manifest(np.full(len(paths), "", object), paths, policy[0], csv), checked.orientations)


def _embed(args: argparse.Namespace, labelled: bool) -> Source:
    """A set of a data set, embedded by a run's network."""
    run = open_run(args)
    params = run.params
    prepared = open_prepared(args.dataset or params.dataset)
    unranked = None if labelled else _choose_unranked(prepared, args.eval_set)
    if unranked:
        name, pooling, checked = unranked.stem, "none", [_load_unranked(unranked, prepared, params)]
    else:
        chosen = choose_set(prepared, args.eval_set)
        policy = (prepared.image_root, params.check_images, params.corrupt_images)
        name, pooling = chosen.name, params.eval_pool_sequences
        checked = [load_images(file, *policy) for file in chosen.files]
    query, gallery = checked[0].manifest, checked[-1].manifest
    lists = Lists(query, gallery, args.excluder or default_excluder(query, gallery), pooling)
    orientations = np.concatenate([part.orientations for part in checked])

    devices.prepare(args.device, params.deterministic)
    from visualization.sources.network import load_embed

    return Source(
        lists,
        load_embed(run.checkpoint, params)(lists.files(), orientations, "images"),
        args.metric or params.metric,
        title=printable(f"{prepared.name}, {name}"),
        facts=run.facts() | {"data set": printable(prepared.folder), "set": printable(name)},
        can_open=(True, True),
    )


def _read(args: argparse.Namespace, labelled: bool) -> Source:
    """The set in files of embed.py."""
    named = [file for file in (args.query_embeddings, args.gallery_embeddings) if file]
    csvs = (args.query_dataset, args.gallery_dataset)
    sides = [_read_side(args, *side, labelled) for side in zip(named, csvs, strict=False)]
    manifests, embeddings, opens = zip(*sides, strict=True)
    sizes = [each.emb.shape[1] for each in embeddings]
    if len(set(sizes)) > 1:
        raise UserError(
            f"{' and '.join(named)}: embeddings of {sizes[0]} and {sizes[1]} dimensions; compute both with one model"
        )
    first = embeddings[0].attributes
    told = {name: printable(str(first[name])) for name in ("checkpoint", "step", "aggregator") if name in first}
    trained = trained_metric(each.attributes for each in embeddings)
    return Source(
        Lists(manifests[0], manifests[-1], args.excluder or "diagonal"),
        np.concatenate([each.emb for each in embeddings]),
        args.metric or (trained if trained in list_distances() else "euclidean"),
        title=printable(Path(args.query_embeddings).name),
        facts={"file": printable(" and ".join(named))} | told,
        can_open=(opens[0], opens[-1]),
    )


def _read_side(
    args: argparse.Namespace, file: str, csv: str | None, labelled: bool
) -> tuple[Manifest, Embeddings, bool]:
    """The list, the embeddings, and whether the folder of the images is known."""
    root = args.image_root or None
    if root is not None and not Path(root).is_dir():
        raise UserError(f"--image_root {root}: there is no such folder")
    if csv is None:
        embeddings = read_embeddings(Path(file), variants=False)
        paths, identities = embeddings.paths, embeddings.identities
        if paths is not None and identities is None and not labelled:
            identities = np.full(len(paths), "", object)
        if paths is None or identities is None:
            side = "query" if file == args.query_embeddings else "gallery"
            raise UserError(
                f"{file}: it has no paths{' and identities' if labelled else ''} of its images; give "
                f"--{side}_dataset, a list identity,path of the same images in the same order"
            )
        manifest = Manifest(identities, paths, Path(root or ""), Path(file))
        return manifest, embeddings, root is not None or paths[0].startswith("/")
    path = Path(csv)
    manifest = read_manifest(path, image_root_of(path, root))
    told = root is not None or (path.parent / "dataset.json").exists()
    return manifest, embeddings_of(Path(file), manifest)[0], told or Path(manifest.files()[0]).is_file()
