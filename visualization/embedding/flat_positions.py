"""Embeddings in two dimensions: t-SNE, UMAP or principal components, of whole identities drawn from a set."""

import contextlib
import importlib.util
import sys
import warnings
from types import ModuleType
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from model.distances import find_distance, has_unit_length, is_squared
from model.metrics.ranking.gallery_distances import sums_over_dimensions, unit_rows
from model.run import devices
from runtime.errors import UserError
from visualization.sources.embedded_set import EmbeddedSet

METHODS = ("tsne", "umap", "pca")
FEWEST = 3

_FEW = 1000  # images that one thread places sooner than several

_OF_UMAP = {"cityblock": "manhattan"}  # what scipy and scikit-learn call otherwise


class Drawn(NamedTuple):
    """N images drawn from a set: embeddings (N, D), paths, files (None where they are not known), identities (N,)."""

    emb: np.ndarray
    paths: list[str]
    files: list[str] | None
    identities: np.ndarray


class Flat(NamedTuple):
    """Positions (N, 2), and what to know of them: settings, and shares of variance for principal components."""

    positions: np.ndarray
    note: str
    collapsed: bool = False


def draw_images(embedded: EmbeddedSet, count: int, seed: int) -> Drawn:
    """Draws whole identities at random until there are `count` images; the last ones that would be too many stay out.

    Identities are those of queries that have a match: distractors and junk are not drawn. Queries and gallery are
    one set here. An identity that has more than `count` images by itself is cut, if it is the first.

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
    if len(rows) < FEWEST:
        raise UserError(f"{embedded.title}: {len(rows)} images to draw; an embedding needs at least {FEWEST}")
    emb = np.concatenate([points.emb[places] for points, places in sides])[rows]
    paths = [points.paths[place] for points, places in sides for place in places]
    files = None
    if all(points.files for points, _ in sides):
        every = [str(points.files[place]) for points, places in sides for place in places]
        files = [every[row] for row in rows]
    return Drawn(emb, [paths[row] for row in rows], files, whose[rows])


def flatten(emb: np.ndarray, metric: str, method: str, seed: int = 0, perplexity: float = 30.0) -> Flat:
    """N embeddings in two dimensions.

    Distances are those of the metric: cosine is euclidean at length 1; t-SNE and UMAP, which go by neighbours, take
    sqeuclidean as euclidean, and so a sum over dimensions that SciPy does not know. Principal components are about the
    mean, and of the embeddings at length 1 for cosine.

    Args:
        emb: (N, D), N >= 3.
        metric: a module of `model.distances`.
        method: one of METHODS.
        seed: of t-SNE and UMAP.
        perplexity: of t-SNE, and the number of neighbours for UMAP; made smaller where N is small.

    Raises:
        UserError: for too few images, or when umap-learn is not installed.
    """
    if len(emb) < FEWEST:
        raise UserError(f"{len(emb)} images; an embedding in two dimensions needs at least {FEWEST}")
    points = emb.astype(np.float64)
    points = unit_rows(points) if has_unit_length(metric) else points / (np.abs(points).max() or 1.0)
    components, shares = principal_components(points)
    spread = components.std(axis=0).max()
    if method == "umap":
        check_umap()  # its absence is told whatever the embeddings are
    if spread <= 1e-7:  # of a largest coordinate of 1: what float32 cannot tell from one point
        return Flat(np.zeros((len(points), 2)), "all embeddings are equal: collapsed", True)
    if method == "pca":
        return Flat(components, f"the two components have {shares[0]:.1%} and {shares[1]:.1%} of the variance")
    start = (1e-4 / components[:, 0].std()) * components
    distance = getattr(find_distance(metric), "CDIST", "euclidean")
    distance = _OF_UMAP.get(distance, distance) if method == "umap" else distance
    if method == "tsne":
        perplexity = min(perplexity, max(1.0, (len(points) - 1) / 3))
        model = TSNE(perplexity=perplexity, init=start.astype(np.float32), metric=distance, random_state=seed)
        # Threads that share out a thousand steps of a millisecond wait for each other more than they work.
        with threadpool_limits(1) if len(points) < _FEW else contextlib.nullcontext():
            positions = model.fit_transform(points.astype(np.float32))
        return Flat(positions, f"t-SNE, perplexity {perplexity:.3g}, seed {seed}")
    neighbours = int(min(max(2, perplexity), len(points) - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that a seed forbids
        model = _umap().UMAP(n_neighbors=neighbours, metric=distance, init=1e5 * start, random_state=seed, n_jobs=1)
        positions = model.fit_transform(points.astype(np.float32))
    return Flat(positions, f"UMAP, {neighbours} neighbours, seed {seed}")


def principal_components(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components, (N, D) -> (N, 2), and their shares of the variance, (2,).

    The coordinate farthest from 0 of each axis is positive, so that the same points make the same picture. With D = 1,
    the second is 0.
    """
    centred = points - points.mean(axis=0)
    _, scales, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    components = np.zeros((len(points), 2))
    components[:, : len(axes)] = centred @ axes.T
    shares = np.zeros(2)
    shares[: len(axes)] = np.square(scales[:2]) / (np.square(scales).sum() or 1.0)
    return components, shares


def neighbour_share(points: np.ndarray, identities: np.ndarray, metric: str = "euclidean") -> float:
    """The share of points whose nearest other one is of their identity: (N, D), (N,)."""
    points = points.astype(np.float64)
    points = unit_rows(points) if has_unit_length(metric) else points
    distance, squared, right = find_distance(metric), is_squared(metric), 0
    for start in range(0, len(points), 256):
        block = points[start : start + 256]
        distances = cdist(block, points, "sqeuclidean") if squared else sums_over_dimensions(block, points, distance)
        distances[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        right += int((identities[distances.argmin(axis=1)] == identities[start : start + 256]).sum())
    return right / len(points)


def check_umap() -> None:
    """Raises a UserError unless the optional package is installed."""
    if importlib.util.find_spec("umap") is None:
        raise UserError("--method umap needs umap-learn: pip install umap-learn, or use --method tsne")


def _umap() -> ModuleType:
    """The optional package, which imports TensorFlow: quietly, and without taking a GPU."""
    check_umap()
    if "tensorflow" not in sys.modules:
        devices.prepare("cpu")
    import umap

    return umap
