"""A set of images with their embeddings, from a run or from files: the data of all pictures of rankings."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.formats.manifest import Manifest
from model.metrics.pooling import pool_sequences
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.ranking.retrieval import Task, check_embeddings, make_task, with_cameras
from runtime.errors import UserError
from runtime.printable import shorten


@dataclass(frozen=True)
class Points:
    """N images.

    Attributes:
        emb: (N, D) float32.
        paths: N paths as in the list.
        files: N paths that can be opened; None if the folder that `paths` start from is unknown.
        identities: (N,) str.
        cameras: (N,) str; None if unknown.
    """

    emb: np.ndarray
    paths: list[str]
    files: list[Path] | None
    identities: np.ndarray
    cameras: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class EmbeddedSet:
    """Queries and the gallery that they are ranked against.

    Attributes:
        title: the data set and its evaluation set, or the file.
        facts: source and comparison, by name: the lines of a page's head.
        metric: a module of `model.distances`.
        query, gallery: the images; the same object if each is compared with all others.
        task: matches and excluded images. Its `queries` and `gallery` are positions in `query` and `gallery`.
    """

    title: str
    facts: dict[str, str]
    metric: str
    query: Points
    gallery: Points
    task: Task

    def heading(self) -> str:
        """Title, step and metric: the heading of a picture."""
        step = f", step {self.facts['step']}" if "step" in self.facts else ""
        return f"{shorten(self.title, 60, head=19)}{step}, {self.metric} distance"

    def distances(self) -> EmbeddingDistances:
        """The distances of the task's queries (Q') to its gallery (G'), as in the evaluation."""
        return EmbeddingDistances(
            self.query.emb[self.task.queries], self.task.of_gallery(self.gallery.emb), self.metric
        )

    def with_queries(self, rows: np.ndarray) -> "EmbeddedSet":
        """The same set with some of the task's queries; their numbers ascend."""
        lists, queries = self.task.lists.select(rows), self.task.queries[rows]
        return replace(self, task=replace(self.task, lists=lists, queries=queries))


@dataclass(frozen=True)
class Lists:
    """The lists of an evaluation set.

    Attributes:
        query, gallery: the images with their labels; the same object for all against all.
        excluder: a module of `model.metrics.excluders`: images that no query is compared with.
        pooling: how the embeddings of a sequence become one; "none" keeps one per image.
    """

    query: Manifest
    gallery: Manifest
    excluder: str
    pooling: str = "none"

    @property
    def together(self) -> bool:
        """Whether each image is compared with all others."""
        return self.query is self.gallery

    def files(self) -> list[str]:
        """The files that `assemble_set` needs embeddings of, in this order."""
        return self.query.files() + ([] if self.together else self.gallery.files())


def assemble_set(
    lists: Lists,
    embeddings: np.ndarray,
    metric: str,
    *,
    title: str,
    facts: dict[str, str],
    can_open: tuple[bool, bool] = (True, True),
) -> EmbeddedSet:
    """The set of these lists and embeddings.

    Args:
        lists: N images, the queries first, or all of them once.
        embeddings: (N, D) of `lists.files()`, in that order.
        metric: a module of `model.distances`.
        title, facts: see EmbeddedSet; metric, excluder and numbers are added to the facts.
        can_open: whether the files of queries and gallery are where their lists say.

    Raises:
        UserError: for embeddings that are NaN or infinite, a wrong excluder, or when no query has a match.
    """
    sides = pair_sides(lists, embeddings)
    query, gallery = sides[0][1], sides[-1][1]
    task = make_task(query, gallery, lists.excluder)
    named = with_cameras(query, gallery, lists.excluder)
    points = [
        make_points(emb, manifest, opens) for (emb, _), manifest, opens in zip(sides, named, can_open, strict=False)
    ]
    others = "all others" if lists.together else f"{len(points[-1]):,}"
    facts = facts | {"images": f"{len(points[0]):,} against {others}", "metric": metric, "excluder": task.rules}
    if lists.pooling != "none":
        facts["pooled"] = f"{lists.pooling} of the images of a sequence; the first of them is shown"
    return EmbeddedSet(title, facts, metric, points[0], points[-1], task)


def pair_sides(lists: Lists, embeddings: np.ndarray) -> list[tuple[np.ndarray, Manifest]]:
    """Embeddings and list of the queries, and of a gallery of its own; pooled if the lists say so.

    Args:
        lists: N images.
        embeddings: (N, D) of `lists.files()`, in that order.

    Raises:
        UserError: for embeddings that are NaN or infinite.
    """
    count = len(lists.query)
    sides = [(embeddings[:count], lists.query)] + ([] if lists.together else [(embeddings[count:], lists.gallery)])
    if lists.pooling != "none":
        sides = [pool_sequences(*side, lists.pooling) for side in sides]
    for emb, manifest in sides:
        check_embeddings(emb, manifest)
    return sides


def make_points(emb: np.ndarray, manifest: Manifest, opens: bool) -> Points:
    """The images of a list with their embeddings (N, D); `opens`: whether their files exist."""
    return Points(
        np.ascontiguousarray(emb, np.float32),
        manifest.paths.tolist(),
        [Path(file) for file in manifest.files()] if opens else None,
        manifest.identities.astype(str),
        None if manifest.cameras is None else manifest.cameras.astype(str),
    )


def check_can_open(points: Points) -> list[Path]:
    """The files of the images.

    Raises:
        UserError: when their folder is unknown.
    """
    if points.files is None:
        raise UserError(
            f"the folder of the images is unknown (the first is {points.paths[0]}): give --image_root, the folder that "
            "the paths of the list start from"
        )
    return points.files
