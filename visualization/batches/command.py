"""Runs `visualize.py batches`."""

import argparse

import numpy as np

from dataset.formats.manifest import Manifest
from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_images
from model.configuration.params import Params
from model.run import devices
from model.run.checkpoint_files import step_of
from runtime.counting import counted
from runtime.errors import UserError
from runtime.printable import print_line, printable
from visualization.kit.card_page import write_cards
from visualization.kit.thumbnails import from_pixels
from visualization.rankings.query_cards import lay_out_rankings
from visualization.rankings.ranked import Ranking, choose_queries, find_rankings, rank_queries
from visualization.sources.arguments import check_output_file
from visualization.sources.embedded_set import Lists, assemble_set
from visualization.sources.opening import choose_set, open_run
from visualization.sources.training_source import load_batches_of

_INTRO = (
    "Each row is an image of the batch as a query, and the other images, nearest first. Look at the hardest positive "
    "and the hardest negative: batch-hard losses train on these."
)


def run(args: argparse.Namespace) -> int:
    if args.eval_set and args.step is not None:
        raise UserError(
            "--step and --eval_set: give one of them; --step is for training batches, --eval_set for an evaluation set"
        )
    run = open_run(args)
    params, checkpoint = run.params, run.checkpoint
    out = check_output_file(args, args.out, "batches.html")
    step = step_of(checkpoint) if args.step is None else args.step
    if args.eval_set:
        manifest, orientations, what = _draw_from_set(args, params)
    else:
        data = load_batches_of(params, run.folder, step, 1)
        what = f"step {step:,} of training on {printable(data.prepared.name)} (the first step is 0)"

    devices.prepare(args.device, params.deterministic)
    from visualization.sources.network import embed_images
    from visualization.sources.training_batch import read_images, read_training_batches

    if args.eval_set:
        images = read_images(manifest.files(), orientations, params)
    else:
        (batch,) = read_training_batches(data, params, step, step + 1)
        _, first = np.unique(batch.indices, return_index=True)  # identities with fewer than K images repeat some
        places = np.sort(first)
        images, manifest = batch.images[places], data.images.manifest.select(batch.indices[places])
    embedded = assemble_set(
        Lists(manifest, manifest, "diagonal"),
        embed_images(checkpoint, params, images),
        params.metric,
        title=what,
        facts=run.facts() | {"batch": what},
    )
    metrics = rank_queries(embedded)
    chosen = choose_queries(metrics, args.queries or 1, "worst" if args.queries else "all", 0)
    rankings = find_rankings(embedded, range(len(metrics.aps)), args.top)
    page = lay_out_rankings(
        embedded,
        [(kind, rankings[row]) for kind, row in chosen],
        lambda side, index: from_pixels(images[index], 200),
        title=f"Rankings in a batch: {what}",
        intro=_INTRO,
        notes=_notes(rankings),
        extremes=True,
    )
    for note in page.notes:
        print_line(note)
    write_cards(page, out)
    shown = counted(len(chosen), "query")
    print_line(f"wrote {out}: {shown}, each against the other {len(manifest) - 1:,} images of the batch")
    return 0


def _notes(rankings: list[Ranking]) -> list[str]:
    """Metrics of the whole batch, as sentences."""
    count = len(rankings)
    right = sum(ranking.first.rank == 1 for ranking in rankings)
    notes = [f"The nearest image is right for {right} of {counted(count, 'query')} ({right / count:.0%})."]
    both = [(r.last.distance, r.nearest_wrong.distance) for r in rankings if r.nearest_wrong is not None]
    if both:
        positive, negative = (sum(values) / len(both) for values in zip(*both, strict=True))
        apart = sum(p < n for p, n in both)
        notes.append(
            f"Mean distances: hardest positive {positive:.4g} (the farthest image of the query's identity), hardest "
            f"negative {negative:.4g} (the nearest image of another identity). The positive is nearer for {apart} of "
            f"{counted(len(both), 'query')}."
        )
    return notes


def _draw_from_set(args: argparse.Namespace, params: Params) -> tuple[Manifest, np.ndarray, str]:
    """P identities of an evaluation set with up to K images each, their EXIF orientations, and a title."""
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
        raise UserError(f"--eval_set {args.eval_set}: no identity has two images; name another set")
    rows = [random.permutation(np.flatnonzero(identities == name))[: max(2, params.batch_k)] for name in names]
    places = np.concatenate(rows)
    manifest = Manifest(identities[places], paths[places], prepared.image_root, chosen.files[0])
    what = f"{counted(len(names), 'identity')} drawn from {printable(f'{prepared.name}, {chosen.name}')}"
    return manifest, orientations[places], what
