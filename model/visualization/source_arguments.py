"""Where a command of visualize.py takes its embeddings from: a run, whose network embeds a set now, or HDF5 files.

Imports nothing heavy, so that --help is quick; TensorFlow is imported for a run only.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.evaluation.request import METRICS
from model.run.arguments import add_run_arguments
from runtime.errors import UserError

if TYPE_CHECKING:
    from model.visualization.embedded_set import EmbeddedSet

_PICTURES = "pictures"  # the folder in a run
_OF_RUNS = ("set", "checkpoint", "dataset", "eval_set")
_OF_FILES = ("query_dataset", "gallery_embeddings", "gallery_dataset", "image_root")


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --model_dir and --query_embeddings, and all that goes with either."""
    run = parser.add_argument_group("embeddings by a run's network")
    add_run_arguments(run, required=False)
    run.add_argument("--checkpoint", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)")
    run.add_argument("--dataset", metavar="NAME", help="prepared data set (default: that of the run)")
    run.add_argument("--eval_set", metavar="NAME", help="test or query_gallery (default: test where there is one)")
    files = parser.add_argument_group("embeddings in files of embed.py: needs no TensorFlow and no GPU")
    files.add_argument("--query_embeddings", metavar="Q.h5", help="the queries' embeddings")
    files.add_argument("--query_dataset", metavar="Q.csv", help="their list (default: what Q.h5 says itself)")
    files.add_argument("--gallery_embeddings", metavar="G.h5", help="the gallery's (default: queries against another)")
    files.add_argument("--gallery_dataset", metavar="G.csv", help="its list")
    files.add_argument(
        "--image_root",
        metavar="DIR",
        help="where the lists' paths start (default: as the dataset.json beside a list says, else beside the list)",
    )
    both = parser.add_argument_group("how they are compared")
    both.add_argument(
        "--metric", metavar="NAME", help=f"{', '.join(METRICS)} (default: that of the training, else euclidean)"
    )
    both.add_argument(
        "--excluder", metavar="NAME", help="what no query is compared with, as for evaluate.py: diagonal, market1501..."
    )


def check_source(args: argparse.Namespace) -> None:
    """Raises a UserError for arguments that contradict each other or name nothing; needs no file."""
    from model.metrics.excluders import find_excluder

    run, files = args.model_dir is not None, args.query_embeddings is not None
    if run and files:
        raise UserError("--model_dir and --query_embeddings: give one of them, a run or files of embeddings")
    if not run and not files:
        raise UserError("give --model_dir RUN, whose network embeds a set, or --query_embeddings Q.h5")
    wrong, kind = (_OF_FILES, "--query_embeddings Q.h5") if run else (_OF_RUNS, "--model_dir RUN")
    for name in wrong:
        if getattr(args, name):
            raise UserError(f"--{name} goes with {kind}: drop it")
    if args.gallery_dataset and not args.gallery_embeddings:
        raise UserError("--gallery_dataset needs --gallery_embeddings: without a gallery, queries rank each other")
    if args.metric is not None and args.metric not in METRICS:
        raise UserError(f"--metric {args.metric}: it must be one of {', '.join(METRICS)}")
    if args.excluder is not None:
        try:
            find_excluder(args.excluder)
        except UserError as error:
            raise UserError(f"--{error}") from None


def default_folder(args: argparse.Namespace) -> Path:
    """Where pictures go if nothing else is said: RUN/pictures, or the folder of the HDF5 file."""
    return Path(args.model_dir) / _PICTURES if args.model_dir else Path(args.query_embeddings).parent


def output_file(args: argparse.Namespace, default: str, suffixes: tuple[str, ...] = (".html", ".png")) -> Path:
    """The file that `--out` names, known to be writable; checks the source's arguments first.

    Args:
        args: with `out`, None for the default folder.
        default: the file's name there.
        suffixes: the endings that it may have.

    Raises:
        UserError: for another ending, a folder that is not there, or a place where nothing can be written.
    """
    check_source(args)
    named = (args.query_embeddings, args.query_dataset, args.gallery_embeddings, args.gallery_dataset)
    return picture_file(args.out, default_folder(args) / default, named, suffixes)


def picture_file(
    given: str | None,
    default: Path,
    inputs: Iterable[str | None] = (),
    suffixes: tuple[str, ...] = (".html", ".png"),
) -> Path:
    """The file to write, known to be writable: `given`, else `default`, whose folder is made in the run's.

    Raises:
        UserError: see `output_file`.
    """
    from runtime.files import check_output

    out = Path(given) if given else default
    if out.suffix.lower() not in suffixes:
        raise UserError(f"--out {out}: its name must end in {' or '.join(suffixes)}")
    if not given and default.parent.name == _PICTURES and default.parent.parent.is_dir():
        default.parent.mkdir(exist_ok=True)
    elif not given and not default.parent.is_dir():
        missing = default.parent.parent if default.parent.name == _PICTURES else default.parent
        raise UserError(f"{missing}: there is no such folder")
    check_output(out, "--out", default.name, [Path(file) for file in inputs if file])
    return out


def open_source(args: argparse.Namespace) -> "EmbeddedSet":
    """Reads, or computes, the embeddings that the arguments ask for.

    Raises:
        UserError: for arguments, files, lists, images or checkpoints that are wrong or do not belong together.
    """
    check_source(args)
    return _from_run(args) if args.model_dir else _from_files(args)


def _from_run(args: argparse.Namespace) -> "EmbeddedSet":
    from dataset.formats.prepared import open_prepared
    from dataset.loading.checked import load_images
    from model.run.checkpoint_files import find_checkpoint, step_of
    from model.run.run_folder import RunFolder
    from model.visualization.embedded_set import Lists, default_excluder, embedded_set
    from model.visualization.printable import printable

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


def _from_files(args: argparse.Namespace) -> "EmbeddedSet":
    import numpy as np

    from model.visualization.embedded_set import Lists, embedded_set
    from model.visualization.printable import printable

    if args.gallery_embeddings and not args.excluder:
        from runtime import plugins

        names = ", ".join(plugins.choices("model.metrics.excluders"))
        raise UserError(f"--excluder is missing: what no query is compared with ({names})")
    sides = [_read(args, args.query_embeddings, args.query_dataset)]
    if args.gallery_embeddings:
        sides.append(_read(args, args.gallery_embeddings, args.gallery_dataset))
    manifests, embeddings, opens = [each[0] for each in sides], [each[1] for each in sides], [each[2] for each in sides]
    sizes = [each.emb.shape[1] for each in embeddings]
    if len(set(sizes)) > 1:
        raise UserError(
            f"{args.query_embeddings} and {args.gallery_embeddings}: embeddings of {sizes[0]} and {sizes[1]} "
            "dimensions; compute both with one model"
        )
    first = embeddings[0].attributes
    facts = {"file": printable(" and ".join(filter(None, (args.query_embeddings, args.gallery_embeddings))))}
    facts |= {name: printable(str(first[name])) for name in ("checkpoint", "step", "aggregator") if name in first}
    return embedded_set(
        Lists(manifests[0], manifests[-1], args.excluder or "diagonal"),
        np.concatenate([each.emb for each in embeddings]) if len(sides) > 1 else embeddings[0].emb,
        args.metric or _trained_metric([each.attributes for each in embeddings]) or "euclidean",
        title=printable(Path(args.query_embeddings).name),
        facts=facts,
        out=default_folder(args),
        can_open=(opens[0], opens[-1]),
    )


def _read(args: argparse.Namespace, file: str, csv: str | None) -> Any:
    """The list, the embeddings, and whether it is known where the images are."""
    from dataset.formats.manifest import Manifest, read_manifest
    from model.embedding.hdf5_file import embeddings_of, read_embeddings

    root = Path(args.image_root) if args.image_root else None
    if root is not None and not root.is_dir():
        raise UserError(f"--image_root {root}: there is no such folder")
    if csv is None:
        embeddings = read_embeddings(Path(file), variants=False)
        if embeddings.paths is None or embeddings.identities is None:
            side = "query" if file == args.query_embeddings else "gallery"
            raise UserError(f"{file}: it does not tell the paths and identities of its images: give --{side}_dataset")
        manifest = Manifest(embeddings.identities, embeddings.paths, root or Path(), Path(file))
        return manifest, embeddings, root is not None
    path = Path(csv)
    if root is None and (path.parent / "dataset.json").exists():
        from dataset.formats.prepared import open_prepared

        root = open_prepared(str(path.parent)).image_root
    manifest = read_manifest(path, root or path.parent)
    known = root is not None or Path(manifest.files()[0]).is_file()
    return manifest, embeddings_of(Path(file), manifest)[0], known


def _trained_metric(attributes: list[dict[str, Any]]) -> str | None:
    """The metric that the network was trained with, if the files tell one and the same."""
    told = set()
    for each in attributes:
        try:
            told.add(json.loads(each["params"])["metric"])
        except (KeyError, TypeError, ValueError):
            return None
    return told.pop() if len(told) == 1 and told <= set(METRICS) else None
