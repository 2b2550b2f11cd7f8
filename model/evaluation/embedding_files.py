"""Evaluates files of embeddings, for `evaluate.py --query_embeddings ...`. Needs no TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dataset.formats.manifest import Manifest, read_manifest
from model.embedding.file_rows import FileRows
from model.embedding.hdf5_file import embeddings_of, trained_metric
from model.evaluation.memory_plan import block_memory
from model.evaluation.request import Request
from model.metrics.pooling import pool_queries, pool_sequences
from model.metrics.ranking.gallery_distances import Distances, EmbeddingDistances
from model.metrics.ranking.per_query.cmc import compute_cmc_curve
from model.metrics.ranking.retrieval import Task, check_embeddings, evaluate_task, make_task, with_cameras
from model.metrics.ranking.stored_distances import StoredDistances
from model.metrics.rows import Rows, StoredRows, take
from model.metrics.search import approximate, query_expansion, rerank
from model.metrics.single_shot import single_shot_metrics
from runtime.errors import UserError
from runtime.printable import print_line
from runtime.tables import align

_TABLES = (  # one table each
    ("map", "map_market", "minp", "map@r", "r_precision"),
    ("cmc@1", "cmc@5", "cmc@10", "recall@2", "recall@4", "recall@8", "index_recall"),
    ("cmc_single_shot@1", "cmc_single_shot@5", "cmc_single_shot@10", "cmc_single_shot@20"),
    ("nmi", "ami"),
)
_OPTIONS = ("pool_sequences", "multi_query", "query_expansion", "rerank", "index")


@dataclass
class Evaluation:
    """The result.

    Attributes:
        metrics, definitions, counts: see `model.metrics.ranking.retrieval.RetrievalResult`.
        cmc: (G,) CMC@1, CMC@2, ...; with an index only the first ones.
        aps: (Q,) average precision of each query by the chosen definition, NaN for skipped ones; None with an index.
        inputs: the files, and the origin of their embeddings.
        notes: notes for the user.
    """

    metrics: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    cmc: np.ndarray
    aps: np.ndarray | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """`mAP`, `CMC` and `aps` in the form of older tools (null for a query without a match), and everything else."""
        value: dict[str, Any] = {"CMC": self.cmc.tolist()}
        if self.aps is not None:
            aps = [None if np.isnan(ap) else float(ap) for ap in self.aps]
            value = {"mAP": float(np.nanmean(self.aps))} | value | {"aps": aps}
        value |= {"metrics": self.metrics, "definitions": self.definitions}
        return value | {"counts": self.counts, "inputs": self.inputs}


@dataclass(frozen=True)
class _Side:
    """Queries or gallery: labels, embeddings (N, D) in memory or in the file, and the attributes of the file."""

    manifest: Manifest
    emb: Rows
    attributes: dict[str, Any]
    file: Path
    verified: bool

    def pooled(self, pool: Callable[[Rows, Manifest, str], tuple[Rows, Manifest]], how: str) -> "_Side":
        """The same side with one embedding for several images."""
        emb, manifest = pool(self.emb, self.manifest, how)
        return replace(self, emb=emb, manifest=manifest)

    @property
    def origin(self) -> dict[str, Any]:
        """The origin of the embeddings, for the results."""
        origin = {"dataset": str(self.manifest.source), "embeddings": str(self.file), "paths_verified": self.verified}
        for name in ("checkpoint", "step", "aggregator"):
            if name in self.attributes:
                value = self.attributes[name]
                origin[name] = value.item() if isinstance(value, np.generic) else str(value)
        return origin


def evaluate_files(request: Request) -> Evaluation:
    """The metrics of one or two files of embeddings. Prints a line before each slow part.

    Raises:
        UserError: for broken files, files that do not belong together, or an impossible request.
    """
    stored = request.memory_gb is not None
    query = _read(request.query_dataset, request.query_embeddings, stored)
    sides = {"query": query}
    if request.gallery_dataset and request.gallery_embeddings:
        sides["gallery"] = _read(request.gallery_dataset, request.gallery_embeddings, stored)
    gallery = sides.get("gallery", query)
    notes = _compare(query, gallery)
    metric = request.metric or trained_metric(side.attributes for side in (query, gallery))
    if metric is None:
        metric = "euclidean"
        if any("params" in side.attributes for side in (query, gallery)):
            notes.append(
                "metric euclidean: the files do not agree on the metric of their training; --metric chooses another"
            )
    request.check_metric(metric)
    if request.excluder == "diagonal" and "gallery" in sides and query.manifest.cameras is not None:
        notes.append("excluder diagonal ignores cameras: matches in the query's own camera count")
    evaluation = _evaluate(request, query, gallery, metric)
    evaluation.inputs = {name: side.origin for name, side in sides.items()}
    evaluation.notes = notes + evaluation.notes
    return evaluation


def _read(csv: Path, file: Path, stored: bool) -> _Side:
    manifest = read_manifest(csv, Path())  # the images are not needed
    if stored:
        rows = FileRows(file, manifest)
        return _Side(manifest, rows, rows.attributes, file, rows.verified)
    embeddings, verified = embeddings_of(file, manifest)
    return _Side(manifest, check_embeddings(embeddings.emb, manifest), embeddings.attributes, file, verified)


def _compare(query: _Side, gallery: _Side) -> list[str]:
    """Notes on differences between the two files.

    Raises:
        UserError: when they cannot be from one network.
    """
    if query.emb.shape[1] != gallery.emb.shape[1]:
        sizes = f"{query.emb.shape[1]} and {gallery.emb.shape[1]}"
        raise UserError(
            f"{query.file} and {gallery.file}: embeddings of {sizes} dimensions; compute both with one model"
        )
    notes = [
        f"{side.file} has no paths: its order is assumed to be that of {side.manifest.source}"
        for side in ((query,) if query is gallery else (query, gallery))
        if not side.verified
    ]
    both = all("checkpoint" in side.attributes for side in (query, gallery))  # written by embed.py
    for name in ("checkpoint", "aggregator"):
        values = [str(side.attributes.get(name, "none")) for side in (query, gallery)]
        if both and values[0] != values[1]:
            notes.append(f"{query.file} and {gallery.file} differ in their {name}: {values[0]} and {values[1]}")
    return notes


def _evaluate(request: Request, query: _Side, gallery: _Side, metric: str) -> Evaluation:
    """All requested metrics. The caller adds inputs and further notes."""
    sides = [query] if query is gallery else [query, gallery]
    query, gallery, definitions = _pool(request, query, gallery)
    task = make_task(query.manifest, gallery.manifest, request.excluder)
    memory_gb = block_memory(request, task, [side.manifest for side in sides], query.emb.shape[1])
    for side in sides:
        if isinstance(side.emb, FileRows):
            side.emb.check()
    gallery = replace(gallery, emb=take(gallery.emb, task.gallery))
    if request.query_expansion:
        k, alpha = request.query_expansion
        # A query is not expanded with itself: its index in the ranked gallery, -1 if it is not there.
        place = {path: number for number, path in enumerate(gallery.manifest.paths[task.gallery])}
        own = np.array([place.get(path, -1) for path in query.manifest.paths])
        expanded = query_expansion.expand_queries(
            query.emb[:], gallery.emb, k, alpha=alpha, metric=metric, exclude=own, memory_gb=memory_gb
        )
        query = replace(query, emb=expanded)
        definitions["query_expansion"] = query_expansion.definition(k, alpha)
    if request.index:
        ranked = take(query.emb, task.queries)
        metrics, meanings, cmc, note = approximate.evaluate_index(task, ranked, gallery.emb, metric, memory_gb)
        return Evaluation(metrics, definitions | meanings, task.counts, cmc, notes=[note])

    distances: Distances
    if request.rerank:
        emb = query.emb[:], gallery.emb[:]
        distances, definitions["rerank"] = _rerank(request, request.rerank, *emb, metric, task, memory_gb)
    elif isinstance(gallery.emb, StoredRows):
        distances = StoredDistances(take(query.emb, task.queries), gallery.emb, metric, memory_gb / 2)
        memory_gb /= 8  # a query of a block takes up to four times the usual memory in its first tile
    else:
        distances = EmbeddingDistances(query.emb[task.queries], gallery.emb, metric)
    size, ties, fpr = request.batch_size, request.ties, request.fpr
    result = evaluate_task(task, distances, metric, memory_gb, batch_size=size, ties=ties, fpr=fpr)
    metrics, definitions = result.metrics, result.definitions | definitions
    if request.single_gallery_shot:
        shot, meaning = single_shot_metrics(task, distances, ties, memory_gb)
        metrics, definitions = metrics | shot, definitions | meaning
    if request.clusters:
        from model.metrics import clusters  # scikit-learn takes a second to load

        print_line("clustering the gallery with k-means ...")
        labels = gallery.manifest.identities[task.gallery].astype(str)
        known = np.isin(labels, query.manifest.identities.astype(str))  # distractors have no identity
        metrics |= clusters.cluster_metrics(gallery.emb[np.flatnonzero(known)], labels[known], metric=metric)
        definitions |= clusters.definitions(int(known.sum()), len(np.unique(labels[known])), metric)
    chosen = "map_market" if request.use_market_ap else "map"
    definitions["mAP"] = f"{chosen}: {definitions[chosen]}"
    definitions["CMC"] = "CMC@1, CMC@2, ...; " + definitions["cmc"]
    definitions["aps"] = f"average precision of each query, by {chosen}; null for a query without a match"
    first = result.per_query["first_rank"]
    curve = compute_cmc_curve(first[~np.isnan(first)], len(gallery.manifest))
    return Evaluation(metrics, definitions, task.counts, curve, result.per_query[chosen])


def _pool(request: Request, query: _Side, gallery: _Side) -> tuple[_Side, _Side, dict[str, str]]:
    """Queries and gallery, pooled on request, and the definitions of the pooling."""
    definitions: dict[str, str] = {}
    named = with_cameras(query.manifest, gallery.manifest, request.excluder)
    query, gallery = replace(query, manifest=named[0]), replace(gallery, manifest=named[1])
    if how := request.pool_sequences:
        query, gallery = (side.pooled(pool_sequences, how) for side in (query, gallery))
        definitions["pool_sequences"] = f"{how} of the images of a sequence, in queries and gallery"
    if how := request.multi_query:
        query = query.pooled(pool_queries, how)
        definitions["multi_query"] = f"{how} of the query images of an identity in a camera"
    return query, gallery, definitions


def _rerank(
    request: Request,
    settings: tuple[int, int, float],
    query_emb: np.ndarray,
    gallery_emb: np.ndarray,
    metric: str,
    task: Task,
    memory_gb: float,
) -> tuple[Distances, str]:
    """The distances after re-ranking, and their definition."""
    together = request.gallery_embeddings is None
    if together and len(gallery_emb) != len(query_emb):
        raise UserError(
            "--rerank of all against all: the list has junk, which is not in the gallery; remove the junk from it"
        )
    images = len(query_emb) + (0 if together else len(gallery_emb))
    print_line(f"re-ranking: neighbours of {images:,} images ...")
    k1, k2, weight = settings
    reranker = rerank.Reranker(
        query_emb,
        gallery_emb,
        k1=k1,
        k2=k2,
        weight=weight,
        metric=metric,
        same=together,
        memory_gb=memory_gb,
    )
    definition = f"k1 {k1}, k2 {k2}, lambda {weight:g}: {rerank.DEFINITION}"
    return rerank.RerankedDistances(reranker, task.queries), definition


def evaluation_text(evaluation: Evaluation) -> str:
    """The evaluation for the terminal: what was compared, all metrics, important definitions."""
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
        f"{counts['queries_used']:,} queries used; skipped: {absent:,} with an identity that is not in the gallery, "
        f"{camera:,} with only excluded images there"
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
