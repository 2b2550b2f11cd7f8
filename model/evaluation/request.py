"""The arguments of evaluate.py for files of embeddings, checked. Imports nothing heavy."""

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
_EXACT = ("rerank", "use_market_ap", "single_gallery_shot", "clusters", "ties", "fpr")  # impossible with an index


@dataclass(frozen=True)
class Request:
    """What to evaluate, and how. The names are those of the flags.

    Attributes:
        query_dataset, query_embeddings: CSV file, and the HDF5 file of its images' embeddings.
        gallery_dataset, gallery_embeddings: the same for the gallery; None: all against all.
        filename: JSON file for the metrics; None: no file.
        excluder: a module of `model.metrics.excluders`.
        metric: a module of `model.distances`; None: the metric of the training according to the files, else euclidean.
        rerank: k1, k2 and lambda, or None.
        query_expansion: number of neighbours and alpha, or None.
        memory_gb: bound in 10^9 bytes for everything, with the embeddings left in their files; None: they are in
            memory, and the bound for the blocks of distances in addition to them is 1.
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
    memory_gb: float | None = None

    @property
    def files(self) -> list[Path]:
        """The input files."""
        given = (self.query_dataset, self.query_embeddings, self.gallery_dataset, self.gallery_embeddings)
        return [file for file in given if file]

    def check_metric(self, metric: str) -> None:
        """Raises a UserError if an option is not defined for this distance."""
        for name in ("rerank", "index"):
            if getattr(self, name) and metric not in list_distances(squared=True):
                raise UserError(f"--{name} needs a Euclidean or cosine distance: use --metric euclidean or cosine")


_COUNT = number(int, 1)
_RERANK = numbers("K1,K2,LAMBDA, such as 20,6,0.3", _COUNT, _COUNT, number(float, 0, 1))
_PAIR = numbers("K or K,ALPHA, such as 5 or 5,3", _COUNT, number(float, 0))


def _expansion(text: str) -> tuple[float, ...]:
    """(K, ALPHA) of `K,ALPHA`, or of `K` with ALPHA 0."""
    return _PAIR(text if "," in text else f"{text},0")


def add_embedding_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --query_dataset and the related flags. A flag that is not given has no attribute."""
    add = parser.add_argument_group("embeddings", argument_default=argparse.SUPPRESS).add_argument
    add("--query_dataset", type=Path, metavar="Q.csv", help="list of the queries: identity,path[,camera[,sequence]]")
    add("--query_embeddings", type=Path, metavar="Q.h5", help="their embeddings, as embed.py writes them")
    add(
        "--gallery_dataset",
        type=Path,
        metavar="G.csv",
        help="list of the gallery; without it, each query is compared with all other queries",
    )
    add("--gallery_embeddings", type=Path, metavar="G.h5", help="its embeddings")
    excluders, metrics = plugins.choices(_EXCLUDERS), list_distances()
    excluded = f"which images a query is not compared with: {', '.join(excluders)}"
    add("--excluder", choices=excluders, metavar="NAME", help=excluded)
    default = f"distance: {', '.join(metrics)} (default: as in training, else euclidean)"
    add("--metric", choices=metrics, metavar="NAME", help=default)
    add(
        "--filename",
        type=Path,
        metavar="OUT.json",
        help="write mAP, CMC, aps, all metrics and their definitions to this file",
    )
    add("--batch_size", type=_COUNT, metavar="N", help="number of queries per block (default 256)")
    add("--use_market_ap", action="store_true", help="compute mAP and aps with Market-1501's trapezoids")
    add(
        "--ties",
        choices=("pessimistic", "optimistic", "stable"),
        help="order at equal distances: non-match first (default), match first, or as in the gallery",
    )
    add("--rerank", type=_RERANK, metavar="K1,K2,LAMBDA", help="k-reciprocal re-ranking, usually 20,6,0.3")
    rate, size = number(float, 0, 1, ends=False), number(float, 0, ends=False)
    expansion = "average query expansion with the K nearest images, weights cos^ALPHA"
    add("--query_expansion", type=_expansion, metavar="K[,ALPHA]", help=expansion)
    add("--pool_sequences", choices=tuple(POOLINGS), help="pool the embeddings of each sequence (tracklet)")
    add("--multi_query", choices=tuple(POOLINGS), help="pool the queries of each identity and camera")
    add(
        "--single_gallery_shot",
        action="store_true",
        help="also compute CUHK03's CMC with one gallery image per identity",
    )
    add("--clusters", action="store_true", help="also compute NMI and AMI of k-means clusters of the gallery; slow")
    add("--fpr", type=rate, metavar="RATE", help="false positive rate of the operating point (default 0.001)")
    add("--index", choices=("faiss",), help="approximate search, for CMC and Recall@K only; needs faiss-cpu")
    add("--memory_gb", type=size, metavar="GB", help="memory limit: the embeddings stay in their files, read in parts")


def given_flags(args: argparse.Namespace) -> list[str]:
    """The given flags that are about embeddings."""
    return [f"--{name}" for name in vars(args) if name not in _OF_RUNS]


def request_of(args: argparse.Namespace) -> Request:
    """The request of the flags. The files are not read yet.

    Raises:
        UserError: for missing or contradictory flags.
    """
    values = {name: value for name, value in vars(args).items() if name not in _OF_RUNS}
    if not values:
        raise UserError("give --model_dir RUN to evaluate a run, or --query_dataset and --query_embeddings")
    of_runs = {"once": args.once, "breakdown": args.breakdown, "set": args.set, "device": args.device != "auto"}
    if flag := next((flag for flag, given in of_runs.items() if given), None):
        raise UserError(f"--{flag} is for a run; give --model_dir RUN too, or drop it")
    for side in ("query", "gallery"):
        missing = [name for name in (f"{side}_dataset", f"{side}_embeddings") if name not in values]
        if len(missing) == 1 or (missing and side == "query"):
            raise UserError(f"--{missing[0]} is missing; give a list together with the file of its embeddings")
    together = "gallery_dataset" not in values
    if "excluder" not in values and not together:
        names = ", ".join(plugins.choices(_EXCLUDERS))
        raise UserError(f"--excluder is missing; choose which images a query is not compared with: {names}")
    request = Request(**values)
    if request.multi_query and (together or request.excluder == "diagonal"):
        raise UserError(
            "--multi_query: the images of a query must not be in the gallery; give a gallery, and an --excluder by "
            "cameras"
        )
    if request.index and (other := next((name for name in _EXACT if name in values), None)):
        raise UserError(f"--index gives CMC and Recall@K only, without --{other}; drop one of them")
    if request.metric:
        request.check_metric(request.metric)
    return request
