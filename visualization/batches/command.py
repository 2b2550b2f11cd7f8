"""What the network makes of a batch: each image as a query against the others, ranked, with distances.

The batch is one of training, augmented as training gets it, or, with --eval_set, drawn from an evaluation set. Marked
are the hardest positive, the farthest image of the query's identity, and the hardest negative, the nearest of another:
what batch-hard losses train on. Embeddings are those of inference: batch norm uses its averages.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.run.arguments import add_run_arguments
from runtime.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from dataset.formats.manifest import Manifest
    from model.configuration.params import Params
    from visualization.rankings.ranked import Ranking


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add = parser.add_argument
    add("--checkpoint", default="latest", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)")
    add("--step", type=int, metavar="N", help="the batch of this training step, from 0 (default: the checkpoint's)")
    add("--eval_set", metavar="NAME", help="a batch drawn from this set instead: test or query_gallery")
    add("--seed", type=int, default=0, metavar="N", help="of that draw (default: 0)")
    add("--queries", type=int, metavar="N", help="show only the N worst queries (default: all, in the batch's order)")
    add("--top", type=int, default=10, metavar="K", help="images shown of a ranking (default: 10)")
    add("--out", metavar="FILE", help=".html or .png (default: RUN/pictures/batches.html)")


def run(args: argparse.Namespace) -> int:
    from model.run.checkpoint_files import find_checkpoint, step_of
    from model.run.run_folder import RunFolder
    from visualization.sources.output import picture_file
    from visualization.sources.training_source import check_at_least

    check_at_least(args, step=0, queries=1, top=1, seed=0)
    if args.eval_set and args.step is not None:
        raise UserError("--step is of training batches, --eval_set of an evaluation set: give one of them")
    folder = RunFolder(args.model_dir)
    params = folder.load_trained_params(args.set)
    checkpoint = find_checkpoint(folder.folder, args.checkpoint)
    out = picture_file(args.out, folder.folder / "pictures" / "batches.html")
    step = step_of(checkpoint) if args.step is None else args.step
    read, what = _batch_of_set(args, params) if args.eval_set else _batch_of_training(folder.folder, params, step)

    from model.run.devices import prepare

    prepare(args.device, params.deterministic)
    import tensorflow as tf

    from model.embedding.embedder import Embedder
    from model.network.build import build_embedder
    from model.run.restore import restore_model
    from visualization.kit.page_file import write_page
    from visualization.kit.printable import printable
    from visualization.kit.thumbnails import from_pixels
    from visualization.rankings.ranked import choose_queries, rank_queries, top_rankings
    from visualization.rankings.ranking_cards import ranking_page
    from visualization.sources.embedded_set import Lists, embedded_set

    model = build_embedder(params)
    restore_model(checkpoint, model)
    images, manifest = read()
    embeddings = Embedder(model, params).forward(tf.constant(images)).numpy()
    embedded = embedded_set(
        Lists(manifest, manifest, "diagonal"),
        embeddings,
        params.metric,
        title=what,
        facts={
            "run": printable(folder.folder),
            "checkpoint": printable(checkpoint.name),
            "step": f"{step_of(checkpoint):,}",
            "batch": what,
        },
        out=out.parent,
    )
    figures = rank_queries(embedded)
    chosen = choose_queries(figures, args.queries or 1, "worst" if args.queries else "all", 0)
    rankings = top_rankings(embedded, figures.rows, args.top)
    page = ranking_page(
        embedded,
        [(kind, rankings[row]) for kind, row in chosen],
        lambda side, index: from_pixels(images[index], 200),
        title=f"Rankings within a batch: {what}",
        notes=_notes(rankings),
        extremes=True,
    )
    for note in page.notes:
        print(note)
    write_page(page, out)
    print(f"wrote {printable(out)}: {len(chosen)} queries of {len(manifest)} images")
    return 0


def _notes(rankings: "list[Ranking]") -> list[str]:
    """How the batch stands as a whole."""
    count = len(rankings)
    right = sum(ranking.first.rank == 1 for ranking in rankings)
    notes = [f"Of {right} of {count} queries ({right / count:.0%}) the nearest image is of their identity."]
    both = [(r.last.distance, r.nearest_wrong.distance) for r in rankings if r.nearest_wrong is not None]
    if both:
        positive, negative = (sum(values) / len(both) for values in zip(*both, strict=True))
        apart = sum(p < n for p, n in both)
        notes.append(
            f"Hardest positive (the farthest of the query's identity) at {positive:.4g} on average, hardest negative "
            f"(the nearest of another) at {negative:.4g}; for {apart} of {len(both)} queries the positive is nearer."
        )
    return notes


def _batch_of_training(folder: Path, params: "Params", step: int) -> tuple[Any, str]:
    """How to read a training batch, once TensorFlow is there, and what it is called."""
    import numpy as np

    from visualization.kit.printable import printable
    from visualization.sources.training_source import load_batches_of

    data = load_batches_of(params, folder, step, 1)

    def read() -> "tuple[np.ndarray, Manifest]":
        from visualization.sources.training_batch import read_training_batches

        (batch,) = read_training_batches(data, params, step, step + 1)
        # An identity with fewer than K images repeats some: each is a query once.
        _, first = np.unique(batch.indices, return_index=True)
        places = np.sort(first)
        return batch.images[places], data.images.manifest.select(batch.indices[places])

    return read, f"the batch of step {step:,} (0 is the first) of training on {printable(data.prepared.name)}"


def _batch_of_set(args: argparse.Namespace, params: "Params") -> tuple[Any, str]:
    """How to read P identities with up to K images each of an evaluation set, and what that is called."""
    import numpy as np

    from dataset.formats.prepared import open_prepared
    from dataset.loading.checked import load_images
    from visualization.kit.printable import printable
    from visualization.sources.from_run import choose_set

    prepared = open_prepared(params.dataset)
    chosen = choose_set(prepared, args.eval_set)
    policy = (prepared.image_root, params.check_images, params.corrupt_images)
    parts = [load_images(file, *policy) for file in chosen.files]
    paths = np.concatenate([part.manifest.paths for part in parts])
    identities = np.concatenate([part.manifest.identities for part in parts])
    orientations = np.concatenate([part.orientations for part in parts])
    _, first = np.unique(paths.astype(str), return_index=True)  # an image may be a query and in the gallery
    paths, identities, orientations = (values[np.sort(first)] for values in (paths, identities, orientations))
    random = np.random.default_rng(args.seed)
    names, counts = np.unique(identities.astype(str), return_counts=True)
    names = random.permutation(names[counts > 1])[: params.batch_p]
    if not len(names):
        raise UserError(f"--eval_set {args.eval_set}: no identity in it has two images")
    rows = [random.permutation(np.flatnonzero(identities == name))[: max(2, params.batch_k)] for name in names]
    places = np.concatenate(rows)

    def read() -> "tuple[np.ndarray, Manifest]":
        from dataset.formats.manifest import Manifest
        from dataset.loading.pipeline import embedding_batches

        manifest = Manifest(identities[places], paths[places], prepared.image_root, chosen.files[0])
        batches = embedding_batches(manifest.files(), orientations[places], params, len(places))
        return np.concatenate([batch.numpy() for batch in batches]), manifest

    return read, f"{len(names)} identities drawn from {printable(f'{prepared.name}, {chosen.name}')}"
