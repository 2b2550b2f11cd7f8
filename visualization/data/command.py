"""Runs `visualize.py data`."""

import argparse
from pathlib import Path, PurePosixPath

from dataset.formats.manifest import Manifest
from model.configuration.loading import load_params
from model.run import devices
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from visualization.kit.card_page import write_cards
from visualization.kit.cards import Card, Page, Section
from visualization.kit.printable import printable
from visualization.kit.thumbnails import from_pixels
from visualization.sources.arguments import check_output_file
from visualization.sources.training_source import TrainingBatch, load_batches_of

COLUMNS = 8  # identities beside each other: more are neither read nor printed well
SIDE = 200  # pixels of the longer side
_ROLES = ("anchor", "positive", "negative")
_MOST_IMAGES = 20_000  # on a page that browsers open


def run(args: argparse.Namespace) -> int:
    if (args.model_dir is None) == (args.params is None):
        raise UserError("give --model_dir RUN or --params FILE, one of them: which parameters to use")
    if args.params and not args.out:
        raise UserError("--out is missing: with --params there is no run folder to write to")
    folder = RunFolder(args.model_dir) if args.model_dir else None
    params = folder.load_trained_params(args.set) if folder else load_params(Path(args.params), args.set)
    out = check_output_file(args, args.out, "data.html")
    data = load_batches_of(params, folder.folder if folder else None, args.step, args.batches)
    if data.sampler.batch_size * args.batches > _MOST_IMAGES:
        raise UserError(
            f"--batches {args.batches}: {data.sampler.batch_size * args.batches:,} images are more than a page can "
            f"hold; show at most {_MOST_IMAGES // data.sampler.batch_size}"
        )

    devices.prepare("cpu", params.deterministic)  # the network is not built: the GPU stays free for the training
    from visualization.sources.training_batch import read_training_batches

    facts = {
        "run" if folder else "parameters": str(folder.folder if folder else args.params),
        "data set": str(data.prepared.folder),
        "images": f"{len(data.images):,} of {len(data.sampler.identities):,} identities",
        "sampling": f"{params.sampling}, {data.sampler.batch_size} images in a batch",
        "augmentation": ", ".join(params.augmentation) or "none",
    }
    if params.augmentation_pool:
        low, high = params.augmentation_pool_count
        facts["besides"] = f"{low} to {high} of {', '.join(params.augmentation_pool)}, in random order"
    facts["image size"] = " x ".join(map(str, params.image_shape)) + " (height x width)"
    notes = ["Each column is what the batch has of one identity; below each image its identity and file."]
    if not args.augmented_only:
        notes.append("Below each image as the network gets it: the same without augmentation, only resized.")
    page = Page(f"Training batches of {data.prepared.name}", facts, notes, legend=False)
    triples, steps = params.sampling == "triplets", (args.step, args.step + args.batches)
    for batch in read_training_batches(data, params, *steps, originals=not args.augmented_only):
        page.sections.extend(lay_out_batch(batch, data.images.manifest, 3 if triples else params.batch_k, triples))
    write_cards(page, out)
    print(f"wrote {printable(out)}: {args.batches:,} batches of {data.sampler.batch_size} images")
    return 0


def lay_out_batch(batch: TrainingBatch, manifest: Manifest, column: int, roles: bool) -> list[Section]:
    """A batch as cards: a column for each identity, each image as the network gets it and as it was.

    Args:
        batch: B images, those of a column one after the other.
        manifest: all training images.
        column: images that belong together, usually K.
        roles: they are an anchor, a positive and a negative.
    """
    seen: set[int] = set()
    cards, originals = [], []
    for place, index in enumerate(batch.indices.tolist()):
        path, identity = manifest.paths[index], manifest.identities[index]
        marks = [*([_ROLES[place % column]] if roles else []), *(["once more"] if index in seen else [])]
        seen.add(index)
        full = ", ".join([path, f"identity {identity}", f"image {place + 1} of the batch", *marks])
        lines = (identity, PurePosixPath(path).name, *marks)
        cards.append(Card(from_pixels(batch.images[place], SIDE), lines, full=full))
        if batch.originals is not None:
            original = from_pixels(batch.originals[place], SIDE)
            originals.append(Card(original, ("as it was",), full=f"{full}, without augmentation"))
    groups = -(-len(cards) // column)
    sections = []
    for left in range(0, groups, COLUMNS):
        right = min(left + COLUMNS, groups)
        rows = []
        for number in range(column):
            shown = slice(left * column + number, right * column, column)
            rows += [side[shown] for side in (cards, originals) if side[shown]]
        what = "triples" if roles else "columns"
        heading = f"Step {batch.step:,}, {what} {left + 1} to {right} of {groups}: {len(cards)} images"
        sections.append(Section(heading, rows, columns=True))
    return sections
