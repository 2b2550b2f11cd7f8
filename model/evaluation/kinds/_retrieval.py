"""The common part of the two kinds of retrieval sets."""

import numpy as np

from dataset.formats.manifest import Manifest
from dataset.formats.prepared import PreparedDataset
from dataset.formats.reserved import DISTRACTOR, Nobody, find_nobody
from dataset.loading.checked import load_images
from model.configuration.params import Params
from model.evaluation.sets import EvaluationSet, ReadySet, SetMetrics
from model.metrics.excluders import default_excluder, find_excluder
from model.metrics.pooling import pool_sequences
from model.metrics.ranking.per_query import load_metrics
from model.metrics.ranking.retrieval import FPR, evaluate_retrieval, make_task
from runtime.counting import counted
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

    kept, excluded = _somebody([part.manifest for part in parts], excluder)

    def sides(embeddings: np.ndarray) -> list[tuple[np.ndarray, Manifest]]:
        """The embeddings and labels of queries and gallery, without junk and pooled; one pair if they are one list."""
        # The gallery follows the queries, unless they are one list.
        cut = [embeddings] if together else [embeddings[: len(query)], embeddings[len(query) :]]
        lists = [(emb[keep], part.manifest.select(keep)) for emb, part, keep in zip(cut, parts, kept, strict=True)]
        return lists if pooling == "none" else [pool_sequences(*each, pooling) for each in lists]

    def evaluate(embeddings: np.ndarray) -> SetMetrics:
        found = sides(embeddings)
        (query_emb, queries), (gallery_emb, images) = found[0], found[-1]
        result = evaluate_retrieval(query_emb, gallery_emb, queries, images, excluder, params.metric)
        return SetMetrics(result.metrics, result.definitions, result.counts, details={})

    # Whether a query has a match does not depend on the embeddings.
    labels = [manifest for _, manifest in sides(np.zeros((sum(map(len, parts)), 1)))]
    skipped = sum(len(part.skipped) for part in parts)
    try:
        make_task(labels[0], labels[-1], excluder)
    except UserError as error:  # what was skipped may be the cause
        also = f"; {counted(skipped, 'image')} of it cannot be read and {'is' if skipped == 1 else 'are'} skipped"
        raise UserError(f"{error}{also if skipped else ''}") from None
    files = [file for part in parts for file in part.manifest.files()]
    orientations = np.concatenate([part.orientations for part in parts])
    return ReadySet(found, files, orientations, evaluate, list_metrics(), skipped, excluded)


def _somebody(lists: list[Manifest], excluder: str) -> tuple[list[np.ndarray], str]:
    """For each list, (N,) bool: the images to evaluate. And the others, in words.

    Protocols of person re-identification exclude junk themselves. Elsewhere it would be a person. So would distractors,
    except in a gallery, where no query has their identity.
    """
    nobody = [find_nobody(each.identities, each.paths) for each in lists]
    if find_excluder(excluder).JUNK:
        return [np.ones(len(each), bool) for each in lists], ""
    masks = [each.mask for each in nobody]
    if len(lists) == 2:
        masks[1] = masks[1] & (lists[1].identities != DISTRACTOR)
    junk = sum(each.junk for each in nobody)
    gone = Nobody(masks[0], junk, sum(int(mask.sum()) for mask in masks) - junk)
    for each, mask in zip(lists, masks, strict=True):
        if mask.all():
            raise UserError(f"{each.source}: it has only {gone}, which show no person; add other images")
    return [~mask for mask in masks], str(gone)


def tables(names: list[str]) -> list[tuple[str, dict[str, tuple[str, tuple[str, ...]]]]]:
    """One table per set, with the `COLUMNS` of each metric."""
    columns = [name for module in load_metrics() for name in module.COLUMNS]
    return [(f"{name}, %", {column: (name, (column,)) for column in columns}) for name in names]
