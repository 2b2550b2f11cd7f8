"""Embeddings in two dimensions by t-SNE, UMAP or principal components, for whole identities drawn from a set."""

import contextlib
import importlib.util
import sys
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from model.distances import find_distance, has_unit_length
from model.metrics.search.nearest import nearest
from model.metrics.vectors import unit_rows
from model.run import devices
from runtime.errors import UserError
from visualization.sources.embedded_set import EmbeddedSet, Points, check_can_open

_FEWEST = 3
_FEW = 1000  # with fewer images one thread is faster than several
_OF_UMAP = {"cityblock": "manhattan"}  # UMAP's name for a SciPy metric


class Flat(NamedTuple):
    """Positions (N, 2), and a note: settings, or the components' shares of the variance."""

    positions: np.ndarray
    note: str
    collapsed: bool = False


def draw_images(embedded: EmbeddedSet, count: int, seed: int) -> Points:
    """Draws whole identities at random, at most `count` images in all.

    Only identities of queries with a match are drawn: no distractors, no junk. Queries and gallery are one set here.
    If the first identity alone has more than `count` images, some of them are drawn.

    Raises:
        UserError: when there are fewer than three images.
    """
    task, query, gallery = embedded.task, embedded.query, embedded.gallery
    sides = [(gallery, task.gallery)] if query is gallery else [(query, task.queries), (gallery, task.gallery)]
    whose = np.concatenate([points.identities[rows] for points, rows in sides])
    searched = np.unique(query.identities[task.queries])
    random = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    left = count
    for identity in random.permutation(searched):
        rows = np.flatnonzero(whose == identity)
        if len(rows) > left and not chosen:
            rows = np.sort(random.permutation(rows)[:left])
        if len(rows) <= left:
            chosen.append(rows)
            left -= len(rows)
        if left < 2:
            break
    rows = np.sort(np.concatenate(chosen))
    if len(rows) < _FEWEST:
        raise UserError(f"{embedded.title}: {len(rows)} images to draw; an embedding needs at least {_FEWEST}")
    every = [(points, place) for points, places in sides for place in places]
    shown = [every[row] for row in rows]
    known = query.files is not None and gallery.files is not None
    files = [check_can_open(points)[place] for points, place in shown] if known else None
    emb = np.stack([points.emb[place] for points, place in shown])
    return Points(emb, [points.paths[place] for points, place in shown], files, whose[rows])


def flatten(emb: np.ndarray, metric: str, method: str, seed: int = 0, perplexity: float = 30.0) -> Flat:
    """Positions of N embeddings in two dimensions.

    Distances are those of the metric. Cosine is euclidean at length 1. t-SNE and UMAP use neighbours only, so they take
    sqeuclidean, and any sum over dimensions that SciPy lacks, as euclidean. Principal components are about the mean;
    for cosine, of the embeddings at length 1.

    Args:
        emb: (N, D), N >= 3.
        metric: a module of `model.distances`.
        method: tsne, umap or pca.
        seed: of t-SNE and UMAP.
        perplexity: of t-SNE, and the number of neighbours for UMAP; reduced where N is small.
    """
    points = emb.astype(np.float64)
    points = unit_rows(points) if has_unit_length(metric) else points / (np.abs(points).max() or 1.0)
    points = np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))
    model = PCA(2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # shares of no variance
        components = model.fit_transform(points)
    if components.std(axis=0).max() <= 1e-7:  # largest coordinate 1: float32 cannot tell this from one point
        return Flat(np.zeros((len(points), 2)), "all embeddings are equal: collapsed", True)
    if method == "pca":
        shares = model.explained_variance_ratio_
        return Flat(components, f"PCA: the two components have {shares[0]:.1%} and {shares[1]:.1%} of the variance")
    start = (1e-4 / components[:, 0].std()) * components
    distance = getattr(find_distance(metric), "CDIST", "euclidean")
    distance = _OF_UMAP.get(distance, distance) if method == "umap" else distance
    if method == "tsne":
        perplexity = min(perplexity, max(1.0, (len(points) - 1) / 3))
        model = TSNE(perplexity=perplexity, init=start.astype(np.float32), metric=distance, random_state=seed)
        # Steps of a millisecond are too short to share among threads.
        with threadpool_limits(1) if len(points) < _FEW else contextlib.nullcontext():
            positions = model.fit_transform(points.astype(np.float32))
        return Flat(positions, f"t-SNE, perplexity {perplexity:.3g}, seed {seed}")
    if "tensorflow" not in sys.modules:  # umap-learn imports it: quietly, and without taking a GPU
        devices.prepare("cpu")
    import umap

    neighbours = int(min(max(2, perplexity), len(points) - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed forbids threads
        model = umap.UMAP(n_neighbors=neighbours, metric=distance, init=1e5 * start, random_state=seed, n_jobs=1)
        positions = model.fit_transform(points.astype(np.float32))
    return Flat(positions, f"UMAP, {neighbours} neighbours, seed {seed}")


def neighbour_share(points: np.ndarray, identities: np.ndarray, metric: str = "euclidean") -> float:
    """The share of points (N, D) whose nearest other point has their identity (N,)."""
    others = nearest(points, points, 1, metric, exclude=np.arange(len(points))).indices[:, 0]
    return float((identities[others] == identities).mean())


def check_umap() -> None:
    """Raises a UserError unless the optional package is installed."""
    if importlib.util.find_spec("umap") is None:
        raise UserError("--method umap needs umap-learn: pip install umap-learn, or use --method tsne")
