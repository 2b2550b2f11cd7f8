"""The common part of the two kinds of retrieval sets."""

import numpy as np

from dataset.formats.prepared import PreparedDataset
from dataset.loading.checked import load_images
from model.configuration.params import Params
from model.evaluation.sets import EvaluationSet, ReadySet, SetMetrics
from model.metrics.excluders import default_excluder
from model.metrics.pooling import pool_sequences
from model.metrics.ranking.per_query import load_metrics
from model.metrics.ranking.retrieval import FPR, evaluate_retrieval, make_task
from runtime.errors import UserError

MAIN = "map"
PICTURES = ("rankings", "distances", "projector")


def list_metrics() -> tuple[str, ...]:
    """The names of the ranking metrics where higher is better, mAP first."""
    names = [name for module in load_metrics() for name in module.BEST_BY]
    return tuple(dict.fromkeys([MAIN, *names, f"tpr@fpr={FPR:g}"]))


def load(found: EvaluationSet, prepared: PreparedDataset, params: Params) -> ReadySet:
    """The set of one list (all against all) or of two (queries and gallery).

    Raises:
        UserError: for broken lists or images, when no query has a match, or `eval_pool_sequences` without sequences.
    """
    policy = (prepared.image_root, params.check_images, params.corrupt_images)
    parts = [load_images(file, *policy) for file in found.files]
    query, gallery, together = parts[0], parts[-1], len(parts) == 1
    excluder = default_excluder(query.manifest, gallery.manifest)
    pooling = params.eval_pool_sequences
    if pooling != "none" and any(part.manifest.sequences is None for part in parts):
        raise UserError(
            f"eval_pool_sequences: {query.manifest.source} or its gallery has no column sequence; set it to none"
        )

    # Whether a query has a match does not depend on embeddings.
    sides = [
        pool_sequences(np.zeros((len(part), 1)), part.manifest, pooling)[1] if pooling != "none" else part.manifest
        for part in parts
    ]
    make_task(sides[0], sides[-1], excluder)

    def evaluate(embeddings: np.ndarray) -> SetMetrics:
        # One list is embedded once; of two lists, the gallery follows the queries.
        query_embeddings = embeddings[: len(query)]
        gallery_embeddings = embeddings if together else embeddings[len(query) :]
        sides = [(query_embeddings, query.manifest), (gallery_embeddings, gallery.manifest)]
        if pooling != "none":
            sides = [pool_sequences(*side, pooling) for side in sides]
        (query_emb, queries), (gallery_emb, images) = sides
        result = evaluate_retrieval(query_emb, gallery_emb, queries, images, excluder, params.metric)
        return SetMetrics(result.metrics, result.definitions, result.counts, details={})

    files = [file for part in parts for file in part.manifest.files()]
    orientations = np.concatenate([part.orientations for part in parts])
    return ReadySet(found, files, orientations, evaluate, list_metrics(), sum(len(part.skipped) for part in parts))


def tables(names: list[str]) -> list[tuple[str, dict[str, tuple[str, tuple[str, ...]]]]]:
    """One table per set, with the `COLUMNS` of each metric."""
    columns = [name for module in load_metrics() for name in module.COLUMNS]
    return [(f"{name}, %", {column: (name, (column,)) for column in columns}) for name in names]
