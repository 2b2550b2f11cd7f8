"""The evaluation sets of a data set, ready to be evaluated again and again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dataset.formats.episodes import SNIPPET
from dataset.formats.prepared import EvaluationSet, PreparedDataset
from dataset.loading.checked import CheckedImages, load_episodes, load_images
from model.configuration.params import Params
from model.metrics.episodes.accuracies import episode_accuracies
from model.metrics.episodes.breakdown import breakdown_definitions, breakdown_figures
from model.metrics.pooling import pool_sequences
from model.metrics.ranking.ranked_figures import CMC_RANKS, RECALL_RANKS
from model.metrics.ranking.retrieval import FPR, evaluate_retrieval
from runtime.errors import UserError

EPISODE_METRICS = ("general_accuracy", "easy_accuracy")
RETRIEVAL_METRICS = (
    "map",
    *(f"cmc@{k}" for k in CMC_RANKS),
    *(f"recall@{k}" for k in RECALL_RANKS),
    *("map_market", "minp", "map@r", "r_precision", f"tpr@fpr={FPR:g}"),
)


class Figures(NamedTuple):
    """What an evaluation gives: figures, what each means, and over how much it was taken, by name.

    `details` is what results.jsonl has besides: of episodes, their intervals and breakdown.
    """

    metrics: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    details: dict[str, Any]

    def line(self) -> dict[str, Any]:
        """All of it, for results.jsonl."""
        return {"metrics": self.metrics, "definitions": self.definitions, "counts": self.counts} | self.details


@dataclass(frozen=True)
class ReadySet:
    """An evaluation set whose lists are read and checked.

    Attributes:
        name: its name, as in event files and results.
        files: the images it needs.
        orientations: their EXIF orientations.
        evaluate: embeddings of `files` (N, D) -> its figures.
        metrics: the names of those figures of which more is better, the most telling one first.
        skipped: the number of broken images left out.
    """

    name: str
    files: list[str]
    orientations: np.ndarray
    evaluate: Callable[[np.ndarray], Figures]
    metrics: tuple[str, ...]
    skipped: int


def load_evaluation_sets(prepared: PreparedDataset, params: Params) -> list[ReadySet]:
    """Reads and checks the sets that `eval_sets` names, or all.

    Raises:
        UserError: when there is none, or none of that name, or a list or image is broken.
    """
    by_name = {each.name: each for each in prepared.evaluation_sets}
    if not by_name:
        what = "episodes/*.csv, query.csv + gallery.csv, or test.csv"
        raise UserError(f"{prepared.folder}: there is no evaluation set in it ({what})")
    for name in params.eval_sets or []:
        if name not in by_name:
            raise UserError(f"eval_sets: {prepared.folder} has no set {name!r}; it has {', '.join(by_name)}")
    chosen = [by_name[name] for name in params.eval_sets or by_name]
    return [_load(each, prepared, params) for each in chosen]


def _load(each: EvaluationSet, prepared: PreparedDataset, params: Params) -> ReadySet:
    policy = (prepared.image_root, params.check_images, params.corrupt_images)
    if each.kind == "episodes":
        checked = load_episodes(each.files[0], *policy)
        episodes = checked.episodes

        def accuracies(embeddings: np.ndarray) -> Figures:
            result = episode_accuracies(embeddings, episodes, params.metric)
            definitions = result.definitions | breakdown_definitions(episodes)
            counts = result.counts
            if SNIPPET in episodes.attributes:
                counts = counts | {"snippets": len(set(episodes.attributes[SNIPPET]))}
            details = breakdown_figures(result.solved, result.share, episodes)
            return Figures(result.metrics, definitions, counts, details)

        files = episodes.files()
        return ReadySet(each.name, files, checked.orientations, accuracies, EPISODE_METRICS, len(checked.skipped))

    parts = [load_images(file, *policy) for file in each.files]
    query, gallery = parts[0], parts[-1]
    together = each.kind == "all_vs_all"
    excluder = "market1501" if not together and _has_cameras(query) and _has_cameras(gallery) else "diagonal"

    pooling = params.eval_pool_sequences
    if pooling != "none" and any(part.manifest.sequences is None for part in parts):
        raise UserError(f"eval_pool_sequences: {query.manifest.source} or its gallery has no column sequence")

    def retrieval(embeddings: np.ndarray) -> Figures:
        # All against all embeds its one list once; otherwise the gallery follows the query.
        query_embeddings = embeddings[: len(query)]
        gallery_embeddings = embeddings if together else embeddings[len(query) :]
        sides = [(query_embeddings, query.manifest), (gallery_embeddings, gallery.manifest)]
        if pooling != "none":
            sides = [pool_sequences(*side, pooling) for side in sides]
        embeddings, manifests = zip(*sides, strict=True)
        result = evaluate_retrieval(*embeddings, *manifests, excluder, params.metric, params.eval_memory_gb)
        return Figures(result.metrics, result.definitions, result.counts, details={})

    parts = [query] if together else [query, gallery]
    files = [file for part in parts for file in part.manifest.files()]
    orientations = np.concatenate([part.orientations for part in parts])
    return ReadySet(
        each.name, files, orientations, retrieval, RETRIEVAL_METRICS, sum(len(part.skipped) for part in parts)
    )


def _has_cameras(images: CheckedImages) -> bool:
    cameras = images.manifest.cameras
    return cameras is not None and all(cameras)
