"""Runs `visualize.py data`."""

import argparse
from pathlib import Path, PurePosixPath

from dataset.formats.manifest import Manifest
from model.configuration.loading import load_params
from model.run import devices
from model.run.run_folder import RunFolder
from runtime.counting import counted
from runtime.errors import UserError
from runtime.printable import print_line
from visualization.kit.card_page import write_cards
from visualization.kit.cards import Card, Page, Section
from visualization.kit.thumbnails import from_pixels
from visualization.sources.arguments import check_output_file
from visualization.sources.training_source import TrainingBatch, load_batches_of

COLUMNS = 8  # identities in a row of the page
SIDE = 200  # pixels of the longer side
_ROLES = ("anchor", "positive", "negative")
_MOST_IMAGES = 20_000  # a browser opens a page of this many

_INTRO = (
    "The images of training batches as the network gets them. Check whether the object is still recognisable after "
    "augmentation, and whether the images of a column show one identity."
)


def run(args: argparse.Namespace) -> int:
    if (args.model_dir is None) == (args.params is None):
        raise UserError("give --model_dir RUN or --params FILE, one of them, for the parameters")
    if args.params and not args.out:
        raise UserError("--out is missing: --params has no run folder to write to; name a file")
    folder = RunFolder(args.model_dir) if args.model_dir else None
    params = folder.load_trained_params(args.set) if folder else load_params(Path(args.params), args.set)
    out = check_output_file(args, args.out, "data.html")
    data = load_batches_of(params, folder.folder if folder else None, args.step, args.batches)
    if data.sampler.batch_size * args.batches > _MOST_IMAGES:
        raise UserError(
            f"--batches {args.batches}: {data.sampler.batch_size * args.batches:,} images are more than a page can "
            f"hold; show at most {_MOST_IMAGES // data.sampler.batch_size} batches"
        )

    devices.prepare("cpu", params.deterministic)  # no network is built: the GPU stays free for training
    from visualization.sources.training_batch import read_training_batches

    facts = {
        "run" if folder else "parameters": str(folder.folder if folder else args.params),
        "data set": str(data.prepared.folder),
        "images": f"{len(data.images):,} of {len(data.sampler.identities):,} identities",
        "sampling": f"{params.sampling}, {data.sampler.batch_size} images per batch",
        "augmentation": ", ".join(params.augmentation) or "none",
    }
    if params.augmentation_pool:
        low, high = params.augmentation_pool_count
        facts["augmentation pool"] = f"{low} to {high} of {', '.join(params.augmentation_pool)}, in random order"
    facts["image size"] = " x ".join(map(str, params.image_shape)) + " (height x width)"
    notes = ["A column has the images of one identity; below each image are its identity and file."]
    if not args.augmented_only:
        notes.append("The image below it is the same without augmentation, only resized.")
    page = Page(f"Training batches of {data.prepared.name}", _INTRO, facts, notes, legend=False)
    triples, steps = params.sampling == "triplets", (args.step, args.step + args.batches)
    for batch in read_training_batches(data, params, *steps, originals=not args.augmented_only):
        page.sections.extend(lay_out_batch(batch, data.images.manifest, 3 if triples else params.batch_k, triples))
    write_cards(page, out)
    batches = "1 batch" if args.batches == 1 else f"{args.batches:,} batches"
    print_line(f"wrote {out}: {batches} of {counted(data.sampler.batch_size, 'image')}")
    return 0


def lay_out_batch(batch: TrainingBatch, manifest: Manifest, column: int, roles: bool) -> list[Section]:
    """A batch as cards: a column for each identity, each image as the network gets it and without augmentation.

    Args:
        batch: B images, column after column.
        manifest: all training images.
        column: number of images of a column, usually K.
        roles: a column is an anchor, a positive and a negative.
    """
    seen: set[int] = set()
    cards, originals = [], []
    for place, index in enumerate(batch.indices.tolist()):
        path, identity = manifest.paths[index], manifest.identities[index]
        marks = [*([_ROLES[place % column]] if roles else []), *(["repeated"] if index in seen else [])]
        seen.add(index)
        full = ", ".join([path, f"identity {identity}", f"image {place + 1} of the batch", *marks])
        lines = (identity, PurePosixPath(path).name, *marks)
        cards.append(Card(from_pixels(batch.images[place], SIDE), lines, full=full))
        if batch.originals is not None:
            original = from_pixels(batch.originals[place], SIDE)
            originals.append(Card(original, ("not augmented",), full=f"{full}, without augmentation"))
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
