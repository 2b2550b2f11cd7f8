"""Runs `visualize.py attention`."""

import argparse
import json
from pathlib import Path

import numpy as np

from dataset.loading.inspection import inspect_files
from model.configuration.loading import check_params
from model.configuration.params import Params
from model.configuration.removed import from_record
from model.distances import has_unit_length, is_squared
from model.embedding.hdf5_file import opened
from model.run import devices
from model.run.checkpoint_files import step_of
from runtime.counting import counted
from runtime.errors import UserError
from runtime.printable import print_line, printable
from visualization.attention.pair_figure import ExplainedPair, draw_pairs
from visualization.attention.pairs import ChosenPair, choose_pairs, find_pairs
from visualization.kit.figure_page import write_figure
from visualization.kit.plotting import pixels_of
from visualization.sources.arguments import check_output_file
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.opening import open_run, open_source

_MOST = 60  # pairs in one picture, the largest value of --queries
_MATCHES = {"nearest": "image", "right": "image of its identity", "wrong": "image of another identity"}


def run(args: argparse.Namespace) -> int:
    if args.pair and len(args.pair) > _MOST:
        raise UserError(f"--pair: {len(args.pair)} pairs are too many; one picture holds {_MOST}")
    out = check_output_file(args, args.out, "attention.png", (".png", ".html"))
    params, checkpoint = _network_of(args)

    # Named pairs need no set. If there is one, its mean is the centre.
    embedded = None if args.pair and args.model_dir else open_source(args)
    if embedded is None or args.pair:
        pairs = find_pairs(args.pair, embedded)
    else:
        pairs = choose_pairs(embedded, args.queries, args.show, args.match, args.seed)
    metric = embedded.metric if embedded else args.metric or params.metric
    orientations = _checked_orientations(pairs)
    devices.prepare(args.device, params.deterministic)
    from visualization.attention.maps import explain

    explained = explain(pairs, orientations, checkpoint, params, metric, embedded)
    step = f"{step_of(checkpoint):,}"
    verb = "lowered" if args.lowered else "raised"
    title = [f"What {verb} the similarity", f"step {step}, {metric} distance"]
    if embedded and not args.pair:
        task = embedded.task
        title[0] += f": {embedded.title}"
        title[1] += f"; {len(task.queries):,} queries, {len(task.gallery):,} gallery images"
        title.append(f"each query with the nearest {_MATCHES[args.match]}")
    facts = embedded.facts if embedded else {"run": printable(args.model_dir)}
    write_figure(
        out,
        pixels_of(draw_pairs(explained, title, lowered=args.lowered), dots=120),
        title=title[0],
        intro=f"Each row is a query, its map, the map of the matched image, and that image. Bright places {verb} the "
        "similarity most. Check whether the network used the object or the background.",
        facts=facts | {"checkpoint": printable(checkpoint), "step": step, "metric": metric},
        label="pairs of images with their maps; the table has names and numbers",
        metrics=_table(explained),
        notes=_notes(metric, embedded),
    )
    for each in explained:
        words = [*each.pair.names, f"distance {each.distance:.4g}", each.pair.verdict]
        print_line("  ".join(word for word in words if word))
    print_line(f"wrote {out}: {counted(len(explained), 'pair')}")
    return 0


def _network_of(args: argparse.Namespace) -> tuple[Params, Path]:
    """The parameters and the checkpoint of the network: the run's, or those that the HDF5 file names."""
    if args.model_dir:
        run = open_run(args)
        return run.params, run.checkpoint
    file = args.query_embeddings
    with opened(file) as h5:
        attributes = dict(h5.attrs)
    try:
        values, named = json.loads(attributes["params"]), Path(str(attributes["checkpoint"]))
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{file}: it does not say which checkpoint made it; give --model_dir RUN, or a file of embed.py"
        ) from None
    if not named.with_name(f"{named.name}.index").is_file():
        raise UserError(
            f"{file}: checkpoint {named}, which made it, does not exist here; give --model_dir RUN instead, or start "
            "the command in the folder from which that path is right"
        )
    source = f"{file}, attribute params"
    return check_params(from_record(values, source), source), named


def _checked_orientations(pairs: list[ChosenPair]) -> np.ndarray:
    """The EXIF orientations of all files (2 N,); raises a UserError for a file that is not an image."""
    files = [file for pair in pairs for file in pair.files]
    inspection = inspect_files(files)
    for place, problem in inspection.problems.items():
        raise UserError(f"{files[place]}: {problem}; name another image, or repair this one")
    return inspection.orientations


def _table(explained: list[ExplainedPair]) -> list[list[str]]:
    rows = [["pair", "query", "match", "", "distance", "similarity", "lowered by query", "lowered by match"]]
    for number, each in enumerate(explained, start=1):
        both = zip(each.pair.names, each.pair.identities, strict=True)
        names = [f"{name} ({identity})" if identity else name for name, identity in both]
        lowered = [f"{share:.1%}" for share in each.shares_lowered()]
        rows.append(
            [str(number), *names, each.pair.verdict, f"{each.distance:.4g}", f"{each.similarity:.4g}", *lowered]
        )
    return rows


def _notes(metric: str, embedded: EmbeddedSet | None) -> list[str]:
    centre = "the mean of the gallery's embeddings" if embedded else "0"
    similarity = (
        f"scalar product of both embeddings, each minus {centre}" if is_squared(metric) else "minus the distance"
    )
    return [
        "Map: features of the backbone's last layer times the gradient of the similarity, summed over channels "
        "(HiResCAM; Grad-CAM where the head averages). The lengths of vectors are held constant. The places of a map "
        "add up to the similarity, apart from biases and the centre (only roughly for heads with swish). "
        "Both maps of a pair share a scale.",
        f"Similarity: {similarity}{' (embeddings of length 1).' if has_unit_length(metric) else '.'}",
        "Lowered by: the share of an image's contributions, in absolute value, that lower the similarity.",
    ]
