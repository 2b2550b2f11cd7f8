"""Runs `visualize.py data`."""

import argparse
from pathlib import Path

from model.configuration.loading import load_params
from model.configuration.params import Params
from model.run import devices
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from visualization.data.batch_cards import lay_out_batches, lay_out_sections
from visualization.kit.card_page import write_cards
from visualization.kit.printable import printable
from visualization.sources.output import check_output_file
from visualization.sources.training_source import load_batches_of

_MOST_IMAGES = 20_000  # on a page that browsers open


def run(args: argparse.Namespace) -> int:
    if (args.model_dir is None) == (args.params is None):
        raise UserError("give --model_dir RUN or --params FILE, one of them: which parameters to use")
    if args.params and not args.out:
        raise UserError("--out is missing: with --params there is no run folder to write to")
    params = _params(args)
    out = check_output_file(args, args.out, "data.html")
    folder = Path(args.model_dir) if args.model_dir else None
    data = load_batches_of(params, folder, args.step, args.batches)
    if data.sampler.batch_size * args.batches > _MOST_IMAGES:
        raise UserError(
            f"--batches {args.batches}: {data.sampler.batch_size * args.batches:,} images are more than a page can "
            f"hold; show at most {_MOST_IMAGES // data.sampler.batch_size}"
        )

    devices.prepare("cpu", params.deterministic)  # the network is not built: the GPU stays free for the training
    from visualization.sources.training_batch import read_training_batches

    batches = read_training_batches(
        data, params, args.step, args.step + args.batches, originals=not args.augmented_only
    )
    triples = params.sampling == "triplets"
    sections = lay_out_sections(batches, data, 3 if triples else params.batch_k, triples)
    facts = {
        "run" if args.model_dir else "parameters": printable(RunFolder(folder).folder if folder else args.params),
        "data set": printable(data.prepared.folder),
        "images": f"{len(data.images):,} of {len(data.sampler.identities):,} identities",
        "sampling": f"{params.sampling}, {data.sampler.batch_size} images in a batch",
        "augmentation": ", ".join(params.augmentation) or "none",
        **_pool(params),
        "image size": " x ".join(map(str, params.image_shape)) + " (height x width)",
    }
    page = lay_out_batches(
        f"Training batches of {printable(data.prepared.name)}", facts, sections, not args.augmented_only
    )
    write_cards(page, out)
    print(f"wrote {printable(out)}: {args.batches:,} batches of {data.sampler.batch_size} images")
    return 0


def _params(args: argparse.Namespace) -> Params:
    if args.params:
        return load_params(Path(args.params), args.set)
    return RunFolder(args.model_dir).load_trained_params(args.set)


def _pool(params: Params) -> dict[str, str]:
    """What else images may get, for the head of the page."""
    if not params.augmentation_pool:
        return {}
    low, high = params.augmentation_pool_count
    return {"besides": f"{low} to {high} of {', '.join(params.augmentation_pool)}, in random order"}
