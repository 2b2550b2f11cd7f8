"""What in two images made the network find them similar: gradient-weighted maps, query beside match.

Shown are queries of a set with their nearest images, or named pairs. A map says how much each place of an image
adds to the similarity of the pair. With --query_embeddings the pairs are those of the files, whose attributes name the
checkpoint; the network runs on the CPU if there is no GPU.
"""

import argparse
from typing import TYPE_CHECKING, Any

from runtime.errors import UserError
from visualization.sources.arguments import add_source_arguments, check_source
from visualization.sources.opening import open_source
from visualization.sources.output import output_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from model.configuration.params import Params
    from visualization.attention.pair_figure import ExplainedPair
    from visualization.attention.pairs import ChosenPair
    from visualization.sources.embedded_set import EmbeddedSet

_MOST = 60  # pairs in one picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help="PNG or HTML file (default: RUN/pictures/attention.png, or beside the HDF5 file)")
    add("--pair", nargs=2, action="append", metavar=("A.jpg", "B.jpg"), help="two image files to compare; repeatable")
    add("--queries", type=int, default=6, metavar="N", help="queries of the set that are shown (default: 6)")
    add(
        "--show",
        default="mixed",
        choices=("mixed", "best", "worst", "random"),
        help="which: by average precision, at random, or a third of each (default: mixed)",
    )
    add(
        "--match",
        default="nearest",
        choices=("nearest", "right", "wrong"),
        help="with the nearest image, the nearest of the query's identity, or of another (default: nearest)",
    )
    add("--lowered", action="store_true", help="show what lowered the similarity instead of what raised it")
    add("--seed", type=int, default=0, metavar="N", help="of random queries (default: 0)")


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.queries <= _MOST:
        raise UserError(f"--queries {args.queries}: it must be from 1 to {_MOST}")
    if args.pair and len(args.pair) > _MOST:
        raise UserError(f"--pair: {len(args.pair)} pairs; one picture holds {_MOST}")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: it must be at least 0")
    out = output_file(args, "attention.png", (".png", ".html"))

    from visualization.kit.plotting import new_figure, pixels_of, png_of, png_uri

    new_figure(1, 1)  # whether it can be drawn is known before anything is embedded
    params, checkpoint = _network_of(args)

    from visualization.attention.pairs import choose_pairs, named_pairs

    # Named pairs need no set, unless there is one at hand: its mean is the centre.
    embedded = None if args.pair and args.model_dir else open_source(args)
    if args.pair:
        pairs = named_pairs(args.pair, embedded)
    else:
        pairs = choose_pairs(embedded, args.queries, args.show, args.match, args.seed)
    metric = args.metric or (embedded.metric if embedded else params.metric)
    explained = _explain(args.device, params, checkpoint, pairs, metric, embedded)

    from visualization.attention.pair_figure import attention_figure
    from visualization.kit.figure_page import write_page, write_png

    figure = attention_figure(explained, _title(args, checkpoint, metric, embedded), lowered=args.lowered)
    pixels = pixels_of(figure, dots=120)
    if out.suffix.lower() == ".html":
        write_page(out, _page(args, explained, png_uri(pixels), checkpoint, metric, embedded))
    else:
        write_png(out, png_of(pixels))
    for pair in explained:
        words = [pair.query_name, pair.match_name, f"distance {pair.distance:.4g}", pair.verdict]
        print("  ".join(word for word in words if word))
    print(f"wrote {out}: {len(explained)} pairs")
    return 0


def _network_of(args: argparse.Namespace) -> "tuple[Params, Path]":
    """The parameters and the checkpoint of the network: those of the run, or those that the HDF5 file names."""
    import json
    from pathlib import Path

    from model.run.checkpoint_files import find_checkpoint

    check_source(args)
    if args.model_dir:
        from model.run.run_folder import RunFolder

        folder = RunFolder(args.model_dir)
        return folder.load_trained_params(args.set), find_checkpoint(folder.folder, args.checkpoint or "latest")
    from model.configuration.loading import check_params
    from model.embedding.hdf5_file import opened

    file = args.query_embeddings
    with opened(file) as h5:
        attributes = dict(h5.attrs)
    try:
        values, named = json.loads(attributes["params"]), Path(str(attributes["checkpoint"]))
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{file}: it does not say which checkpoint made it, as files of embed.py do; give --model_dir RUN instead"
        ) from None
    if not named.with_name(f"{named.name}.index").is_file():
        raise UserError(
            f"{file}: it was made by checkpoint {named}, which is not there (any more); give --model_dir RUN instead, "
            "or start this where that path is right"
        )
    return check_params(values, source=f"{file}, attribute params"), named


def _explain(
    device: str,
    params: "Params",
    checkpoint: "Path",
    pairs: "list[ChosenPair]",
    metric: str,
    embedded: "EmbeddedSet | None",
) -> "list[ExplainedPair]":
    """Reads the images, runs the network, and computes the maps, a few pairs at a time."""
    from dataset.loading.inspection import inspect_files

    files = [file for pair in pairs for file in pair.files]
    inspection = inspect_files(files)
    for place, problem in inspection.problems.items():
        raise UserError(f"{files[place]}: {problem}; name another image, or mend this one")

    from model.run.devices import prepare

    prepare(device, params.deterministic)
    import numpy as np

    from dataset.loading.pipeline import embedding_batches
    from model.network.build import build_embedder
    from model.run.restore import restore_model
    from visualization.attention.maps import AttentionMaps, mean_embedding

    params = params.model_copy(update={"precision": "float32"})  # gradients vanish in half precision
    model = build_embedder(params)
    restore_model(checkpoint, model)
    centre = None if embedded is None else mean_embedding(embedded.gallery.emb, metric)
    if centre is not None and len(centre) != model.output_shape[-1]:
        raise UserError(f"{checkpoint}: it gives {model.output_shape[-1]} dimensions, the file has {len(centre)}")
    maps = AttentionMaps(model, metric, centre)
    explained: list[ExplainedPair] = []
    for images in embedding_batches(files, inspection.orientations, params, 16):
        images = images.numpy()
        found = maps(images[::2], images[1::2])
        if not np.isfinite(found.first_emb).all() or not np.isfinite(found.second_emb).all():
            raise UserError(f"{checkpoint}: it gives embeddings that are no numbers; use another checkpoint")
        start = len(explained)
        for place, pair in enumerate(pairs[start : start + len(images) // 2]):
            explained.append(_explained(pair, images[2 * place : 2 * place + 2], found, place, metric))
    return explained


def _explained(pair: "ChosenPair", images: "np.ndarray", found: Any, place: int, metric: str) -> "ExplainedPair":
    import numpy as np

    from model.metrics.ranking.gallery_distances import EmbeddingDistances
    from visualization.attention.pair_figure import ExplainedPair

    first, second = found.first_emb[place : place + 1], found.second_emb[place : place + 1]
    distances = EmbeddingDistances(first, second, metric)
    zero = np.zeros(1, np.int64)
    return ExplainedPair(
        images[0],
        images[1],
        found.first[place],
        found.second[place],
        *pair.names,
        *pair.identities,
        distances.in_units(distances.pairs(zero, zero)[0]),
        float(found.similarity[place]),
        pair.right,
        pair.kind,
    )


def _title(args: argparse.Namespace, checkpoint: "Path", metric: str, embedded: "EmbeddedSet | None") -> list[str]:
    from model.run.checkpoint_files import step_of

    word = "lowered" if args.lowered else "raised"
    of = f"{embedded.title}: " if embedded and not args.pair else ""
    lines = [f"{of}what {word} the similarity", f"step {step_of(checkpoint):,}, {metric} distance"]
    if not args.pair:
        counts = f"{len(embedded.task.queries):,} queries, {len(embedded.task.gallery):,} gallery images"
        match = {"nearest": "image", "right": "image of its identity", "wrong": "image of another identity"}
        lines[1] += f"; {counts}"
        lines.append(f"each query with the nearest {match[args.match]}")
    return lines


def _page(
    args: argparse.Namespace,
    explained: "list[ExplainedPair]",
    picture: str,
    checkpoint: "Path",
    metric: str,
    embedded: "EmbeddedSet | None",
) -> str:
    from model.run.checkpoint_files import step_of
    from visualization.attention.pair_figure import share_lowered
    from visualization.kit.figure_page import figure_page
    from visualization.kit.printable import printable

    facts = embedded.facts if embedded else {"run": printable(args.model_dir)}
    facts = facts | {"checkpoint": printable(checkpoint), "step": f"{step_of(checkpoint):,}", "metric": metric}
    centre = "the mean of the gallery's embeddings" if embedded else "0"
    rows = [["pair", "query", "match", "", "distance", "similarity", "lowered, query", "lowered, match"]]
    for number, pair in enumerate(explained, start=1):
        names = [" ".join(filter(None, part)) for part in _named(pair)]
        numbers = [f"{pair.distance:.4g}", f"{pair.similarity:.4g}"]
        lowered = [f"{share_lowered(values):.1%}" for values in (pair.query_map, pair.match_map)]
        rows.append([str(number), *names, pair.verdict, *numbers, *lowered])
    notes = [
        "A map is the features of the backbone's last layer times the gradient of the similarity, summed over channels "
        "(HiResCAM; Grad-CAM where the head averages), the lengths of vectors held constant. Its places add up to the "
        "similarity, but for what biases and the centre add (not quite so for heads with swish). Both maps of a pair "
        "have one scale.",
        f"Similarity: {'minus the distance' if metric == 'cityblock' else 'the scalar product of both embeddings'}"
        + ("" if metric == "cityblock" else f" about {centre}")
        + (", each of length 1." if metric == "cosine" else "."),
        "Lowered: of all that places add to the similarity or take away from it, the share that is taken away.",
    ]
    title = _title(args, checkpoint, metric, embedded)
    image = f'<img src="{picture}" alt="pairs of images with their maps; the table has names and numbers">'
    return figure_page(title[0][0].upper() + title[0][1:], facts, image, rows, notes)


def _named(pair: "ExplainedPair") -> list[tuple[str, str]]:
    """File and identity of both images."""
    both = [(pair.query_name, pair.query_identity), (pair.match_name, pair.match_identity)]
    return [(name, f"({identity})" if identity else "") for name, identity in both]
