"""What evaluate.py is asked of files of embeddings: its arguments, checked. Imports nothing heavy."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.distances import list_distances
from runtime import plugins
from runtime.errors import UserError

POOLINGS = ("mean", "max", "normalized_mean")


@dataclass(frozen=True)
class Request:
    """What is to be evaluated, and how; the names are those of the flags.

    Attributes:
        query_dataset, query_embeddings: CSV file, and the HDF5 file of its images' embeddings.
        gallery_dataset, gallery_embeddings: the same of the gallery; None for all against all.
        excluder: a module of `model.metrics.excluders`.
        metric: a module of `model.distances`; None for what the network was trained with, where the files tell,
            else euclidean.
        rerank: k1, k2 and lambda, or None.
        query_expansion: number of neighbours and alpha, or None.
    """

    query_dataset: Path
    query_embeddings: Path
    gallery_dataset: Path | None
    gallery_embeddings: Path | None
    excluder: str
    metric: str | None = None
    batch_size: int = 256
    use_market_ap: bool = False
    ties: str = "pessimistic"
    rerank: tuple[int, int, float] | None = None
    query_expansion: tuple[int, float] | None = None
    pool_sequences: str | None = None
    multi_query: str | None = None
    single_gallery_shot: bool = False
    clusters: bool = False
    index: str | None = None
    fpr: float = 1e-3
    memory_gb: float = 1.0

    @property
    def files(self) -> list[Path]:
        """The files that are read."""
        given = (self.query_dataset, self.query_embeddings, self.gallery_dataset, self.gallery_embeddings)
        return [file for file in given if file]


def add_embedding_arguments(group: argparse._ArgumentGroup) -> None:
    """Adds --query_dataset and all that goes with it; flags that are not given have no attribute."""

    def add(flag: str, **options: Any) -> None:
        group.add_argument(flag, default=argparse.SUPPRESS, **options)

    add("--query_dataset", metavar="Q.csv", help="the queries: identity,path[,camera[,sequence]]")
    add("--query_embeddings", metavar="Q.h5", help="their embeddings, as embed.py writes them")
    add("--gallery_dataset", metavar="G.csv", help="the gallery; without it, each query is compared with all others")
    add("--gallery_embeddings", metavar="G.h5", help="its embeddings")
    add("--excluder", metavar="NAME", help=f"what no query is compared with: {', '.join(_excluders())}")
    metrics = ", ".join(list_distances())
    add("--metric", metavar="NAME", help=f"{metrics} (default: that of the training, else euclidean)")
    add("--filename", metavar="OUT.json", help="write mAP, CMC, aps, all figures and their definitions there")
    add("--batch_size", type=int, metavar="N", help="queries at a time (default 256)")
    add("--use_market_ap", action="store_true", help="mAP and aps by Market-1501's trapezoids")
    add(
        "--ties",
        choices=("pessimistic", "optimistic", "stable"),
        help="at equal distances the non-match first (default), the match first, or by the order of the gallery",
    )
    add("--rerank", metavar="K1,K2,LAMBDA", help="k-reciprocal re-ranking, usually 20,6,0.3")
    add("--query_expansion", metavar="K[,ALPHA]", help="average query expansion by the K nearest, weights cos^ALPHA")
    add("--pool_sequences", choices=POOLINGS, help="one embedding for each sequence (tracklet) of the CSV")
    add("--multi_query", choices=POOLINGS, help="one query for each identity in each camera")
    add("--single_gallery_shot", action="store_true", help="also CUHK03's CMC with one gallery image per identity")
    add("--clusters", action="store_true", help="also NMI and AMI of k-means clusters of the gallery; slow")
    add("--fpr", type=float, metavar="RATE", help="false positive rate of the operating point (default 0.001)")
    add("--index", choices=("faiss",), help="CMC and Recall@K only, by an approximate index; needs faiss-cpu")
    add("--memory_gb", type=float, metavar="GB", help="bound for blocks of distances and for re-ranking (default 1)")


def given_flags(args: argparse.Namespace) -> list[str]:
    """The flags about embeddings that were given."""
    about_runs = ("model_dir", "set", "device", "once", "breakdown")
    return [f"--{name}" for name in vars(args) if name not in about_runs]


def request_of(args: argparse.Namespace) -> Request:
    """What is asked for, checked as far as that goes without the files.

    Raises:
        UserError: for flags that are missing, out of range, or contradict each other.
    """
    values = dict(vars(args))
    of_runs = {"--once": values.pop("once"), "--breakdown": values.pop("breakdown"), "--set": values.pop("set")}
    of_runs["--device"] = values.pop("device") != "auto"
    for name in ("model_dir", "filename"):
        values.pop(name, None)
    if not values:
        raise UserError("give --model_dir RUN to evaluate a run, or --query_dataset and --query_embeddings")
    if flag := next((flag for flag, given in of_runs.items() if given), None):
        raise UserError(f"{flag} is for a run and needs --model_dir RUN")
    for side in ("query", "gallery"):
        dataset, embeddings = f"{side}_dataset" in values, f"{side}_embeddings" in values
        if dataset != embeddings or (side == "query" and not dataset):
            have, lack = ("dataset", "embeddings") if dataset else ("embeddings", "dataset")
            because = f"--{side}_{have} alone is not enough" if dataset or embeddings else "there are no queries"
            raise UserError(f"{because}: give --{side}_{lack} too")
    together = "gallery_dataset" not in values
    if "excluder" not in values and not together:
        raise UserError(f"--excluder is missing: what no query is compared with ({', '.join(_excluders())})")
    excluder = values.setdefault("excluder", "diagonal")
    if excluder not in _excluders():
        raise UserError(f"--excluder {excluder}: it must be one of {', '.join(_excluders())}")
    if "multi_query" in values and (together or excluder == "diagonal"):
        raise UserError(
            "--multi_query: the images that make up a query must not be in the gallery: give one, and an "
            "--excluder that goes by cameras"
        )
    if values.get("metric", "euclidean") not in list_distances():
        raise UserError(f"--metric {values['metric']}: it must be one of {', '.join(list_distances())}")
    if values.get("batch_size", 1) < 1:
        raise UserError(f"--batch_size {values['batch_size']}: it must be at least 1")
    if not values.get("memory_gb", 1) > 0:
        raise UserError(f"--memory_gb {values['memory_gb']}: it must be greater than 0")
    if not 0 < values.get("fpr", 0.5) < 1:
        raise UserError(f"--fpr {values['fpr']}: it must be between 0 and 1")
    if "rerank" in values:
        values["rerank"] = _numbers("rerank", values["rerank"], "K1,K2,LAMBDA, such as 20,6,0.3", int, int, float)
        k1, k2, weight = values["rerank"]
        if k1 < 1 or k2 < 1 or not 0 <= weight <= 1:
            raise UserError(f"--rerank {args.rerank}: K1 and K2 must be at least 1, LAMBDA between 0 and 1")
    if "query_expansion" in values:
        text = values["query_expansion"]
        types = (int, float)[: text.count(",") + 1]
        k, *alpha = _numbers("query_expansion", text, "K or K,ALPHA, such as 5 or 5,3", *types)
        if k < 1 or (alpha and not 0 <= alpha[0] < float("inf")):
            raise UserError(f"--query_expansion {text}: K must be at least 1, ALPHA at least 0")
        values["query_expansion"] = (k, alpha[0] if alpha else 0.0)
    exact = ("rerank", "use_market_ap", "single_gallery_shot", "clusters", "ties", "fpr")
    if "index" in values and (other := next((name for name in exact if name in values), None)):
        raise UserError(f"--index gives CMC and Recall@K only, without --{other}: drop one of them")
    squared = values.get("metric", "euclidean") in list_distances(squared=True)
    if not squared and (other := next((n for n in ("rerank", "index") if n in values), None)):
        raise UserError(f"--{other} is for Euclidean or cosine distances: use --metric euclidean or cosine")
    files = ("query_dataset", "query_embeddings", "gallery_dataset", "gallery_embeddings")
    return Request(**values | {name: Path(values[name]) if name in values else None for name in files})


def _excluders() -> list[str]:
    return plugins.choices("model.metrics.excluders")


def _numbers(flag: str, text: str, form: str, *types: Callable[[str], float]) -> tuple:
    parts = text.split(",")
    try:
        return tuple(kind(part) for kind, part in zip(types, parts, strict=True))
    except ValueError:
        raise UserError(f"--{flag} {text}: it must be {form}") from None
