"""Retrieval metrics: how high each query ranks the gallery images of its identity."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from dataset.formats.manifest import Manifest
from model.metrics.excluders import find_excluder
from model.metrics.labels import Labels, MatchLists, cameras_of_names, encode_labels, match_lists
from model.metrics.ranking.gallery_distances import Distances, EmbeddingDistances
from model.metrics.ranking.match_ranks import TIES, rank_matches
from model.metrics.ranking.operating_point import OperatingPoint
from model.metrics.ranking.per_query import collect_definitions, compute_per_query
from runtime.errors import UserError
from runtime.parallel import cores

FPR = 1e-3
BYTES_PER_QUERY = 2**17  # memory per query of a block: its row of a tile, and its masks
QUERIES = "all metrics are over the same queries, those with a match in the gallery"
MAX_BLOCK = 256  # larger blocks do not fit into the CPU cache, and are not faster


@dataclass(frozen=True)
class RetrievalResult:
    """Metrics over the Q' queries that have a match, and metrics per query.

    Attributes:
        metrics: name -> value, in [0, 1] except for ranks and the threshold.
        definitions: the meaning of the names, and the excluder, distance and tie rule.
        counts: `queries`, `gallery`, `queries_used`, `queries_skipped_identity_absent` (no other image of the identity
            in the gallery) and `queries_skipped_only_same_camera` (all such images are excluded).
        per_query: `map` and `map_market` (average precisions), `minp`, ...: name -> (Q,), NaN for skipped queries.
    """

    metrics: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    per_query: dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """A retrieval task: the queries that have a match, and the gallery without junk.

    Attributes:
        lists: matches and excluded images of these queries.
        queries: (Q',) the numbers of these queries.
        gallery: (G',) the numbers of the gallery images without junk.
        gallery_labels: (G',) their labels.
        rules: what is excluded, in words.
        counts: see RetrievalResult.
    """

    lists: MatchLists
    queries: np.ndarray
    gallery: np.ndarray
    gallery_labels: Labels
    rules: str
    counts: dict[str, int]

    def of_gallery(self, embeddings: np.ndarray) -> np.ndarray:
        """The embeddings without junk (G', D), from the whole gallery's (G, D); the same array if there is no junk."""
        return embeddings if len(self.gallery) == len(embeddings) else embeddings[self.gallery]


def with_cameras(query: Manifest, gallery: Manifest, excluder: str) -> tuple[Manifest, Manifest]:
    """The images, with cameras from the file names if the excluder needs them and a camera column is missing."""
    form = find_excluder(excluder).CAMERAS
    if form is None or (query.cameras is not None and gallery.cameras is not None):
        return query, gallery
    named = [
        dataclasses.replace(manifest, cameras=np.array(cameras_of_names(manifest, form), object))
        for manifest in ((query,) if query is gallery else (query, gallery))
    ]
    return named[0], named[-1]


def make_task(query: Manifest, gallery: Manifest, excluder: str) -> Task:
    """The gallery images that match each query, and those that are excluded.

    Raises:
        UserError: for an unknown excluder, a file name without a camera, or when no query has a match.
    """
    rules = find_excluder(excluder)
    query_labels, gallery_labels = encode_labels(*with_cameras(query, gallery, excluder), rules.CAMERAS is not None)
    kept = np.flatnonzero(~np.isin(gallery.identities.astype(str), rules.JUNK)) if rules.JUNK else slice(None)
    kept = np.arange(len(gallery))[kept]
    gallery_labels = gallery_labels.at(kept)
    lists = match_lists(query_labels, gallery_labels, rules.left_out)
    used = np.flatnonzero(lists.used)
    only = int(lists.only_left_out.sum())
    absent = len(query) - len(used) - only
    if not len(used):
        raise UserError(
            f"none of the {len(query)} queries in {query.source} has a match in {gallery.source}: for {absent}, the "
            f"gallery has no other image of the identity; for {only}, excluder {excluder} excludes all of them; check "
            "that the two files belong together, and the excluder"
        )
    counts = {
        "queries": len(query),
        "gallery": len(gallery),
        "queries_used": len(used),
        "queries_skipped_identity_absent": absent,
        "queries_skipped_only_same_camera": only,
    }
    return Task(lists.select(used), used, kept, gallery_labels, rules.MEANING, counts)


def evaluate_retrieval(
    query_emb: np.ndarray,
    gallery_emb: np.ndarray,
    query: Manifest,
    gallery: Manifest,
    excluder: str,
    metric: str,
    memory_gb: float = 1.0,
    *,
    ties: str = "pessimistic",
    fpr: float = FPR,
) -> RetrievalResult:
    """CMC, Recall@K, mAP (two definitions), mINP, MAP@R, R-precision, ranks and TPR@FPR of queries against a gallery.

    Args:
        query_emb, gallery_emb: (Q, D) and (G, D), rows in the order of the manifests.
        query, gallery: labels; the same manifest twice for a set that is evaluated all against all.
        excluder: a module of `model.metrics.excluders`.
        metric: `euclidean`, `sqeuclidean`, `cityblock` or `cosine`.
        memory_gb: bound in 10^9 bytes for blocks of distances (at least one query), in addition to the embeddings.
        ties: how equal distances rank, one of `model.metrics.ranking.match_ranks.TIES`.
        fpr: the false positive rate of the operating point.

    Raises:
        UserError: for embeddings that are NaN or infinite or do not fit the manifests, unknown names, or when no query
            has a match.
    """
    query_emb, gallery_emb = check_embeddings(query_emb, query), check_embeddings(gallery_emb, gallery)
    task = make_task(query, gallery, excluder)
    distances = EmbeddingDistances(query_emb[task.queries], task.of_gallery(gallery_emb), metric)
    return evaluate_task(task, distances, metric, memory_gb, ties=ties, fpr=fpr)


def evaluate_task(
    task: Task,
    distances: Distances,
    metric: str,
    memory_gb: float = 1.0,
    *,
    batch_size: int = MAX_BLOCK,
    ties: str = "pessimistic",
    fpr: float = FPR,
) -> RetrievalResult:
    """The metrics of a task, given distances from its (Q') queries to its (G') gallery images.

    Args:
        task: matches and excluded images.
        distances: the source of the distances.
        metric: the distance in words, for the definitions.
        memory_gb: bound in 10^9 bytes for blocks of distances (at least one query).
        batch_size: queries in a block, on each CPU core; fewer if `memory_gb` requires it.
        ties, fpr: see `evaluate_retrieval`.
    """
    lists = task.lists
    negatives = len(task.queries) * len(task.gallery) - len(lists.columns) - len(lists.left_out)
    point = OperatingPoint(fpr, negatives, distances)
    batch_size = int(np.clip(memory_gb * 1e9 / (BYTES_PER_QUERY * cores()), 1, batch_size))
    ranks = rank_matches(distances, lists, ties, batch_size=batch_size, see=point.see)
    of_queries = compute_per_query(ranks)
    metrics = {name: float(values.mean()) for name, values in of_queries.items()} | point.metrics(ranks.distances)
    definitions = collect_definitions() | point.definitions()
    definitions |= {"ties": f"{ties}: {TIES[ties]}", "queries": QUERIES, "excluder": task.rules, "metric": metric}
    per_query = {name: np.full(task.counts["queries"], np.nan) for name in of_queries}
    for name, values in of_queries.items():
        per_query[name][task.queries] = values
    return RetrievalResult(metrics, definitions, task.counts, per_query)


def check_embeddings(embeddings: np.ndarray, manifest: Manifest) -> np.ndarray:
    """The embeddings (N, D) as an array; raises a UserError if they are not finite, or not one per image."""
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2 or len(embeddings) != len(manifest):
        shape = " x ".join(map(str, embeddings.shape))
        raise UserError(f"{manifest.source}: {len(manifest)} images, but embeddings of shape {shape}")
    bad = np.flatnonzero(~np.isfinite(embeddings).all(1))
    if len(bad):
        what = f"{len(bad)} of {len(embeddings)} embeddings are NaN or infinite"
        raise UserError(f"{manifest.source}: {what}, the first for {manifest.paths[bad[0]]}; use an earlier checkpoint")
    return embeddings
