"""The metrics of retrieval by sorting and by published loops, and small cases to rank."""

from pathlib import Path

import numpy as np

from dataset.formats.manifest import Manifest
from model.metrics.ranking.gallery_distances import Distances
from model.metrics.ranking.retrieval import RetrievalResult, evaluate_task, make_task

NAMES = [*(f"cmc@{k}" for k in (1, 5, 10)), *(f"recall@{k}" for k in (1, 2, 4, 8))]
NAMES += ["map", "map_market", "minp", "map@r", "r_precision", "average_rank", "first_rank"]
POINT = ["tpr@fpr=0.001", "threshold@fpr=0.001"]


def manifest(identities: list, cameras: list | None = None, prefix: str = "g", paths: list | None = None) -> Manifest:
    def text(values: list) -> np.ndarray:
        return np.array([str(value) for value in values], object)

    paths = paths or [f"{prefix}{i}.jpg" for i in range(len(identities))]
    return Manifest(
        text(identities), text(paths), Path(), Path(f"{prefix}.csv"), None if cameras is None else text(cameras)
    )


def left_out(query: Manifest, gallery: Manifest, excluder: str) -> np.ndarray:
    """(Q, G) mask of the gallery images that are excluded for each query."""
    if excluder == "diagonal":
        return query.paths[:, None] == gallery.paths
    same = (query.identities[:, None] == gallery.identities) & (query.cameras[:, None] == gallery.cameras)
    return same | (gallery.identities == "-1")


def market_ap(good: set[int], order: list[int]) -> float:
    """The loop of the code published with Market-1501 (compute_AP); `order` has no junk."""
    old_recall, old_precision, ap, intersect = 0.0, 1.0, 0.0, 0
    for j, image in enumerate(order):
        if image in good:
            intersect += 1
        recall, precision = intersect / len(good), intersect / (j + 1)
        ap += (recall - old_recall) * ((old_precision + precision) / 2)
        old_recall, old_precision = recall, precision
        if intersect == len(good):
            break
    return ap


def by_sorting(
    distances: np.ndarray, query: Manifest, gallery: Manifest, excluder: str, ties: str = "pessimistic"
) -> dict[int, tuple[dict[str, float], int]]:
    """Every metric by sorting, and the nearest image, for each query with a match."""
    found = {}
    for i, hidden in enumerate(left_out(query, gallery, excluder)):
        keep = np.flatnonzero(~hidden)
        match = gallery.identities[keep] == query.identities[i]
        if not match.any():
            continue
        of_equals = {"pessimistic": match, "optimistic": ~match, "stable": keep}[ties]
        order = np.lexsort((keep, of_equals, distances[i, keep]))
        hits = match[order]
        places, total = np.flatnonzero(hits) + 1, int(hits.sum())
        precisions = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        row = {name: float(places[0] <= int(name.split("@")[1])) for name in NAMES[:7]}
        row["map"] = precisions[hits].mean()
        row["map_market"] = market_ap(set(keep[match].tolist()), keep[order].tolist())
        row["minp"] = total / places[-1]
        row["map@r"] = (precisions * hits)[:total].sum() / total
        row["r_precision"] = hits[:total].mean()
        row["average_rank"], row["first_rank"] = places.mean(), float(places[0])
        found[i] = row, int(keep[order[0]])
    return found


def brute_force(distances: np.ndarray, query: Manifest, gallery: Manifest, excluder: str) -> dict[str, float]:
    """Every metric by sorting, with ties against the matches: the mean over queries with a match."""
    rows = [row for row, _ in by_sorting(distances, query, gallery, excluder).values()]
    return {name: float(np.mean([row[name] for row in rows])) for name in NAMES}


def ranked(result: RetrievalResult) -> dict[str, float]:
    """The metrics of ranks."""
    return {name: value for name, value in result.metrics.items() if name not in POINT}


class GivenDistances(Distances):
    """A matrix of distances (Q, G), used unchanged."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix, self.shape = matrix, matrix.shape

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self.matrix[rows, columns].astype(np.float64)

    def tile(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        return self.matrix[rows, columns]


def evaluate_distances(
    distances: np.ndarray, query: Manifest, gallery: Manifest, excluder: str, **options: object
) -> RetrievalResult:
    """The result of the evaluation for a whole matrix of distances."""
    task = make_task(query, gallery, excluder)
    return evaluate_task(task, GivenDistances(distances[np.ix_(task.queries, task.gallery)]), "as given", **options)


def random_case(seed: int, queries: int = 30, images: int = 80) -> tuple[np.ndarray, np.ndarray, Manifest, Manifest]:
    """Embeddings with some structure, 8 identities, junk and distractors, 3 cameras; some queries without a match."""
    rng = np.random.default_rng(seed)
    query_ids, gallery_ids = rng.integers(1, 11, queries), rng.integers(-1, 9, images)
    centres = rng.standard_normal((12, 6))
    query_emb = (centres[query_ids] + rng.standard_normal((queries, 6))).astype(np.float32)
    gallery_emb = (centres[gallery_ids] + rng.standard_normal((images, 6))).astype(np.float32)
    query = manifest(query_ids.tolist(), rng.integers(0, 3, queries).tolist(), "q")
    return query_emb, gallery_emb, query, manifest(gallery_ids.tolist(), rng.integers(0, 3, images).tolist())
