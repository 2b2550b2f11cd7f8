"""Evaluation of files of embeddings: the figures of `evaluate.py --query_embeddings ...`. Needs no TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dataset.formats.manifest import Manifest, read_manifest
from model.embedding.hdf5_file import embeddings_of, trained_metric
from model.evaluation.request import Request
from model.metrics.pooling import pool_queries, pool_sequences
from model.metrics.ranking.gallery_distances import Distances, EmbeddingDistances
from model.metrics.ranking.per_query.cmc import compute_cmc_curve
from model.metrics.ranking.retrieval import Task, check_embeddings, evaluate_task, make_task, with_cameras
from model.metrics.search import approximate, query_expansion, rerank
from model.metrics.single_shot import single_shot_metrics
from runtime.errors import UserError
from runtime.tables import align

SILENT: Callable[[str], None] = lambda text: None  # noqa: E731
_TABLES = (  # a table each
    ("map", "map_market", "minp", "map@r", "r_precision"),
    ("cmc@1", "cmc@5", "cmc@10", "recall@2", "recall@4", "recall@8", "index_recall"),
    ("cmc_single_shot@1", "cmc_single_shot@5", "cmc_single_shot@10", "cmc_single_shot@20"),
    ("nmi", "ami"),
)
_OPTIONS = ("pool_sequences", "multi_query", "query_expansion", "rerank", "index")


@dataclass
class Evaluation:
    """What came out.

    Attributes:
        metrics, definitions, counts: see `model.metrics.ranking.retrieval.RetrievalResult`.
        aps: (Q,) average precision of each query by the definition asked for, NaN where skipped; None with an index.
        cmc: (G,) CMC@1, CMC@2, ...; with an index as far as it was asked.
        inputs: the files, and where their embeddings come from.
        notes: what the user should know.
    """

    metrics: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    aps: np.ndarray | None
    cmc: np.ndarray
    inputs: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """`mAP`, `CMC`, `aps` as older tools have them (null for a query without a match), and everything else."""
        value: dict[str, Any] = {}
        if self.aps is not None:
            value["mAP"] = float(np.nanmean(self.aps))
        value["CMC"] = self.cmc.tolist()
        if self.aps is not None:
            value["aps"] = [None if np.isnan(ap) else float(ap) for ap in self.aps]
        return value | {
            "metrics": self.metrics,
            "definitions": self.definitions,
            "counts": self.counts,
            "inputs": self.inputs,
        }


@dataclass(frozen=True)
class _Side:
    """Queries or gallery: labels, embeddings (N, D), and what the file tells of where they come from."""

    manifest: Manifest
    emb: np.ndarray
    attributes: dict[str, Any]
    file: Path
    verified: bool


def evaluate_files(request: Request, say: Callable[[str], None] = SILENT) -> Evaluation:
    """Reads and checks the files, and computes all metrics.

    Raises:
        UserError: for files that are broken or do not belong together, and requests that make no sense.
    """
    together = request.gallery_embeddings is None
    query = _read(request.query_dataset, request.query_embeddings)
    gallery = query if together else _read(request.gallery_dataset, request.gallery_embeddings)
    notes = _compare(query, gallery)
    metric = request.metric or trained_metric(side.attributes for side in (query, gallery))
    if metric is None:
        metric = "euclidean"
        if any("params" in side.attributes for side in (query, gallery)):
            notes.append("metric euclidean: the files do not tell one and the same metric of their training")
    if request.excluder == "diagonal" and not together and query.manifest.cameras is not None:
        notes.append("excluder diagonal: cameras are not looked at, matches in the query's own camera count")
    inputs = {"query": _origin(query)} | ({} if together else {"gallery": _origin(gallery)})

    ranking, definitions = _prepare(request, query, gallery, metric)
    if request.index:
        result = approximate.evaluate_index(
            ranking.task, ranking.query_emb[ranking.task.queries], ranking.gallery_emb, metric
        )
        definitions |= result.definitions
        notes.append(result.note)
        return Evaluation(result.metrics, definitions, ranking.task.counts, None, result.cmc, inputs, notes)
    return _rank(request, ranking, definitions, inputs, notes, say)


class _Ranking(NamedTuple):
    """Embeddings and labels as they are ranked: pooled and expanded, the gallery without junk."""

    task: Task
    metric: str
    query_emb: np.ndarray
    gallery_emb: np.ndarray
    query_list: Manifest
    gallery_list: Manifest


def _prepare(request: Request, query: _Side, gallery: _Side, metric: str) -> tuple[_Ranking, dict[str, str]]:
    """What is ranked, and the definitions of what was done to it."""
    definitions: dict[str, str] = {}
    query_emb, gallery_emb = query.emb, gallery.emb
    query_list, gallery_list = with_cameras(query.manifest, gallery.manifest, request.excluder)
    if request.pool_sequences:
        query_emb, query_list = pool_sequences(query_emb, query_list, request.pool_sequences)
        gallery_emb, gallery_list = pool_sequences(gallery_emb, gallery_list, request.pool_sequences)
        definitions["pool_sequences"] = f"{request.pool_sequences} of the images of a sequence, in queries and gallery"
    if request.multi_query:
        query_emb, query_list = pool_queries(query_emb, query_list, request.multi_query)
        definitions["multi_query"] = f"{request.multi_query} of the query images of an identity in a camera"
    task = make_task(query_list, gallery_list, request.excluder)
    gallery_emb = task.of_gallery(gallery_emb)
    if request.query_expansion:
        k, alpha = request.query_expansion
        own = _own_images(query_list, gallery_list, task)
        query_emb = query_expansion.expand_queries(
            query_emb, gallery_emb, k, alpha=alpha, metric=metric, exclude=own, memory_gb=request.memory_gb
        )
        definitions["query_expansion"] = query_expansion.definition(k, alpha)
    return _Ranking(task, metric, query_emb, gallery_emb, query_list, gallery_list), definitions


def _rank(
    request: Request,
    ranking: _Ranking,
    definitions: dict[str, str],
    inputs: dict[str, Any],
    notes: list[str],
    say: Callable[[str], None],
) -> Evaluation:
    """All metrics of an exact ranking."""
    task, metric = ranking.task, ranking.metric
    distances: Distances
    if request.rerank:
        distances, definitions["rerank"] = _rerank(request, ranking, say)
    else:
        distances = EmbeddingDistances(ranking.query_emb[task.queries], ranking.gallery_emb, metric)
    options = {"batch_size": request.batch_size, "ties": request.ties, "fpr": request.fpr}
    result = evaluate_task(task, distances, metric, request.memory_gb, **options)
    metrics, definitions = dict(result.metrics), result.definitions | definitions
    if request.single_gallery_shot:
        shot, meaning = single_shot_metrics(task, distances, request.ties, request.memory_gb)
        metrics, definitions = metrics | shot, definitions | meaning
    if request.clusters:
        from model.metrics import clusters  # scikit-learn takes a second to load

        say("clustering the gallery with k-means ...")
        labels = ranking.gallery_list.identities[task.gallery].astype(str)
        known = np.isin(labels, ranking.query_list.identities.astype(str))  # distractors are of no identity
        metrics |= clusters.cluster_metrics(ranking.gallery_emb[known], labels[known], metric=metric)
        definitions |= clusters.definitions(int(known.sum()), len(np.unique(labels[known])), metric)
    chosen = "map_market" if request.use_market_ap else "map"
    definitions["mAP"] = f"{chosen}: {definitions[chosen]}"
    definitions["CMC"] = "CMC@1, CMC@2, ...; " + definitions["cmc"]
    definitions["aps"] = f"average precision of each query, by {chosen}; null where it has no match"
    first = result.per_query["first_rank"]
    curve = compute_cmc_curve(first[~np.isnan(first)], len(ranking.gallery_list))
    return Evaluation(metrics, definitions, task.counts, result.per_query[chosen], curve, inputs, notes)


def _read(csv: Path, file: Path) -> _Side:
    manifest = read_manifest(csv, Path())  # the images themselves are not needed
    embeddings, verified = embeddings_of(file, manifest)
    return _Side(manifest, check_embeddings(embeddings.emb, manifest), embeddings.attributes, file, verified)


def _compare(query: _Side, gallery: _Side) -> list[str]:
    """What the two files tell of each other that the user should know.

    Raises:
        UserError: when they cannot come from one network.
    """
    if query.emb.shape[1] != gallery.emb.shape[1]:
        sizes = f"{query.emb.shape[1]} and {gallery.emb.shape[1]}"
        raise UserError(
            f"{query.file} and {gallery.file}: embeddings of {sizes} dimensions; compute both with one model"
        )
    notes = [
        f"{side.file} does not tell the paths of its images: that they are in the order of {side.manifest.source} "
        "could not be checked"
        for side in dict.fromkeys((id(query), id(gallery)))
        for side in [query if side == id(query) else gallery]
        if not side.verified
    ]
    both = all("checkpoint" in side.attributes for side in (query, gallery))  # written by embed.py
    for name in ("checkpoint", "aggregator"):
        told = [str(side.attributes.get(name, "none")) for side in (query, gallery)]
        if both and told[0] != told[1]:
            notes.append(f"{query.file} and {gallery.file} differ in their {name}: {told[0]} and {told[1]}")
    return notes


def _origin(side: _Side) -> dict[str, Any]:
    """Where embeddings come from, for the results."""
    origin = {"dataset": str(side.manifest.source), "embeddings": str(side.file), "paths_verified": side.verified}
    for name in ("checkpoint", "step", "aggregator"):
        if name in side.attributes:
            value = side.attributes[name]
            origin[name] = value.item() if isinstance(value, np.generic) else str(value)
    return origin


def _own_images(query: Manifest, gallery: Manifest, task: Task) -> np.ndarray:
    """(Q,) the place of each query image in the gallery that is ranked, -1 where it is not there."""
    place = {path: number for number, path in enumerate(gallery.paths[task.gallery])}
    return np.array([place.get(path, -1) for path in query.paths])


def _rerank(request: Request, ranking: _Ranking, say: Callable[[str], None]) -> tuple[Distances, str]:
    """The distances after re-ranking, and their definition."""
    together = request.gallery_embeddings is None
    query_emb, gallery_emb = ranking.query_emb, ranking.gallery_emb
    k1, k2, weight = request.rerank
    if together and len(gallery_emb) != len(query_emb):
        raise UserError("--rerank of all against all: the list has junk, which is a query but not in the gallery")
    say(f"re-ranking: neighbours of {len(query_emb) + (0 if together else len(gallery_emb)):,} images ...")
    options = {"k1": k1, "k2": k2, "weight": weight, "metric": ranking.metric, "memory_gb": request.memory_gb}
    reranker = rerank.Reranker(query_emb, gallery_emb, same=together, **options)
    definition = f"k1 {k1}, k2 {k2}, lambda {weight:g}: {rerank.DEFINITION}"
    return rerank.RerankedDistances(reranker, ranking.task.queries, len(gallery_emb)), definition


def evaluation_text(evaluation: Evaluation) -> str:
    """What was compared, all figures, and how they are defined where that matters."""
    counts, metrics, definitions = evaluation.counts, evaluation.metrics, evaluation.definitions
    absent, camera = counts["queries_skipped_identity_absent"], counts["queries_skipped_only_same_camera"]
    lines = [
        f"{counts['queries']:,} queries against {counts['gallery']:,} gallery images, metric {definitions['metric']}",
        f"excluder {definitions['excluder']}",
    ]
    lines += [f"{name}: {definitions[name]}" for name in _OPTIONS if name in definitions]
    if "ties" in definitions:
        lines.append(f"ties: {definitions['ties']}")
    lines.append(
        f"{counts['queries_used']:,} queries used; skipped: {absent:,} whose identity is not in the gallery, "
        f"{camera:,} of whom it has only images that are left out"
    )
    for names in _TABLES:
        there = [name for name in names if name in metrics]
        if there:
            lines += ["", align([["%", *there], ["", *(f"{100 * metrics[name]:.2f}" for name in there)]])]
    others = metrics.keys() - {"recall@1"} - {name for names in _TABLES for name in names}
    lines += ["", *(f"{name}: {metrics[name]:.6g}" for name in metrics if name in others)] if others else []
    if "mAP" in definitions:
        lines += ["", f"mAP is {definitions['mAP']}"]
    return "\n".join(lines)
