"""What evaluate.py is asked of files of embeddings: its arguments, checked. Imports nothing heavy."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from model.distances import list_distances
from model.metrics.pooling import POOLINGS
from runtime import plugins
from runtime.arguments import number, numbers
from runtime.errors import UserError

_EXCLUDERS = "model.metrics.excluders"
_OF_RUNS = ("model_dir", "set", "device", "once", "breakdown")
_EXACT = ("rerank", "use_market_ap", "single_gallery_shot", "clusters", "ties", "fpr")  # what an index cannot give


@dataclass(frozen=True)
class Request:
    """What is to be evaluated, and how; the names are those of the flags.

    Attributes:
        query_dataset, query_embeddings: CSV file, and the HDF5 file of its images' embeddings.
        gallery_dataset, gallery_embeddings: the same of the gallery; None for all against all.
        filename: where the metrics are written as JSON; None for nowhere.
        excluder: a module of `model.metrics.excluders`.
        metric: a module of `model.distances`; None for what the network was trained with, where the files tell,
            else euclidean.
        rerank: k1, k2 and lambda, or None.
        query_expansion: number of neighbours and alpha, or None.
    """

    query_dataset: Path
    query_embeddings: Path
    gallery_dataset: Path | None = None
    gallery_embeddings: Path | None = None
    filename: Path | None = None
    excluder: str = "diagonal"
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

    def check_metric(self, metric: str) -> None:
        """Raises a UserError where something that is asked for is not defined by this distance."""
        for name in ("rerank", "index"):
            if getattr(self, name) and metric not in list_distances(squared=True):
                raise UserError(f"--{name} is for Euclidean or cosine distances: use --metric euclidean or cosine")


_COUNT = number(int, 1)
_RERANK = numbers("K1,K2,LAMBDA, such as 20,6,0.3", _COUNT, _COUNT, number(float, 0, 1))
_PAIR = numbers("K or K,ALPHA, such as 5 or 5,3", _COUNT, number(float, 0))


def _expansion(text: str) -> tuple[float, ...]:
    """K,ALPHA; ALPHA is 0 where K stands alone."""
    return _PAIR(text if "," in text else f"{text},0")


def add_embedding_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --query_dataset and all that goes with it; flags that are not given have no attribute."""
    add = parser.add_argument_group("embeddings", argument_default=argparse.SUPPRESS).add_argument
    add("--query_dataset", type=Path, metavar="Q.csv", help="the queries: identity,path[,camera[,sequence]]")
    add("--query_embeddings", type=Path, metavar="Q.h5", help="their embeddings, as embed.py writes them")
    add(
        "--gallery_dataset",
        type=Path,
        metavar="G.csv",
        help="the gallery; without it, each query is compared with all others",
    )
    add("--gallery_embeddings", type=Path, metavar="G.h5", help="its embeddings")
    excluders, metrics = plugins.choices(_EXCLUDERS), list_distances()
    left_out = f"what no query is compared with: {', '.join(excluders)}"
    add("--excluder", choices=excluders, metavar="NAME", help=left_out)
    default = f"{', '.join(metrics)} (default: that of the training, else euclidean)"
    add("--metric", choices=metrics, metavar="NAME", help=default)
    add(
        "--filename",
        type=Path,
        metavar="OUT.json",
        help="write mAP, CMC, aps, all figures and their definitions there",
    )
    add("--batch_size", type=_COUNT, metavar="N", help="queries at a time (default 256)")
    add("--use_market_ap", action="store_true", help="mAP and aps by Market-1501's trapezoids")
    add(
        "--ties",
        choices=("pessimistic", "optimistic", "stable"),
        help="at equal distances the non-match first (default), the match first, or by the order of the gallery",
    )
    add("--rerank", type=_RERANK, metavar="K1,K2,LAMBDA", help="k-reciprocal re-ranking, usually 20,6,0.3")
    rate, size = number(float, 0, 1, ends=False), number(float, 0, ends=False)
    expansion = "average query expansion by the K nearest, weights cos^ALPHA"
    add("--query_expansion", type=_expansion, metavar="K[,ALPHA]", help=expansion)
    add("--pool_sequences", choices=tuple(POOLINGS), help="one embedding for each sequence (tracklet) of the CSV")
    add("--multi_query", choices=tuple(POOLINGS), help="one query for each identity in each camera")
    add("--single_gallery_shot", action="store_true", help="also CUHK03's CMC with one gallery image per identity")
    add("--clusters", action="store_true", help="also NMI and AMI of k-means clusters of the gallery; slow")
    add("--fpr", type=rate, metavar="RATE", help="false positive rate of the operating point (default 0.001)")
    add("--index", choices=("faiss",), help="CMC and Recall@K only, by an approximate index; needs faiss-cpu")
    add("--memory_gb", type=size, metavar="GB", help="bound for blocks of distances and for re-ranking (default 1)")


def given_flags(args: argparse.Namespace) -> list[str]:
    """The flags about embeddings that were given."""
    return [f"--{name}" for name in vars(args) if name not in _OF_RUNS]


def request_of(args: argparse.Namespace) -> Request:
    """What is asked for, checked as far as that goes without the files.

    Raises:
        UserError: for flags that are missing or contradict each other.
    """
    values = {name: value for name, value in vars(args).items() if name not in _OF_RUNS}
    if not values:
        raise UserError("give --model_dir RUN to evaluate a run, or --query_dataset and --query_embeddings")
    of_runs = {"once": args.once, "breakdown": args.breakdown, "set": args.set, "device": args.device != "auto"}
    if flag := next((flag for flag, given in of_runs.items() if given), None):
        raise UserError(f"--{flag} is for a run and needs --model_dir RUN")
    for side in ("query", "gallery"):
        missing = [name for name in (f"{side}_dataset", f"{side}_embeddings") if name not in values]
        if len(missing) == 1 or (missing and side == "query"):
            raise UserError(f"--{missing[0]} is missing: a list and the file of its embeddings go together")
    together = "gallery_dataset" not in values
    if "excluder" not in values and not together:
        names = ", ".join(plugins.choices(_EXCLUDERS))
        raise UserError(f"--excluder is missing: what no query is compared with ({names})")
    request = Request(**values)
    if request.multi_query and (together or request.excluder == "diagonal"):
        raise UserError(
            "--multi_query: the images that make up a query must not be in the gallery: give one, and an "
            "--excluder that goes by cameras"
        )
    if request.index and (other := next((name for name in _EXACT if name in values), None)):
        raise UserError(f"--index gives CMC and Recall@K only, without --{other}: drop one of them")
    if request.metric:
        request.check_metric(request.metric)
    return request
