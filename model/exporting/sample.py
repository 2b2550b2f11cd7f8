"""Real images for comparing an exported model with its run."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dataset.formats.image_list import read_image_list
from dataset.formats.manifest import Manifest, read_manifest
from dataset.formats.prepared import PreparedDataset, open_prepared
from dataset.loading.checked import CheckedImages, check_images, load_images
from model.configuration.params import Params
from model.evaluation.sets import EvaluationSet, find_evaluation_sets, load_kinds
from model.metrics.excluders import default_excluder
from model.metrics.ranking.retrieval import evaluate_retrieval, make_task
from runtime.errors import UserError

COMPARED = 100  # images whose coordinates are compared
MOST = 2000  # images for the comparison of Recall@1
_SEED = 0


@dataclass(frozen=True)
class Sample:
    """Images of one list.

    Attributes:
        files: N paths.
        orientations: (N,) EXIF orientations.
        source: where they come from, in words.
        set: their evaluation set; None if it has no queries and gallery.
        recall: embeddings (N, D) -> Recall@1; None if `set` is None.
    """

    files: list[str]
    orientations: np.ndarray
    source: str
    set: str | None = None
    recall: Callable[[np.ndarray], float] | None = None

    @property
    def compared(self) -> np.ndarray:
        """The rows of the images that are compared coordinate by coordinate."""
        return _spread(len(self.files))


def read_sample(params: Params, source: str | None) -> Sample:
    """The images of `source` (as for embed.py), else of the run's evaluation sets, else of its training list.

    Raises:
        UserError: when there are no images, or broken ones.
    """
    if source is not None:
        images = read_image_list(source)
        chosen = check_images(images.select(_spread(len(images))), params.check_images, params.corrupt_images)
        return Sample(chosen.manifest.files(), chosen.orientations, source)
    try:
        prepared = open_prepared(params.dataset)
    except UserError as error:
        raise UserError(f"{error}; or give other images of that kind with --images") from error
    kinds = load_kinds()
    found = [each for each in find_evaluation_sets(prepared.folder) if each.name in (params.eval_sets or [each.name])]
    for each in found:
        if "rankings" in kinds[each.kind].PICTURES:
            return _retrieval_sample(each, prepared, params)
    if found:
        ready = kinds[found[0].kind].load(found[0], prepared, params)
        rows = _spread(len(ready.files))
        return Sample([ready.files[row] for row in rows], ready.orientations[rows], found[0].name)
    training = read_training_images(prepared, params)
    return Sample(training.manifest.files(), training.orientations, prepared.train_csv.name)


def read_training_images(prepared: PreparedDataset, params: Params) -> CheckedImages:
    """Up to 100 training images, spread over the list."""
    manifest = read_manifest(prepared.train_csv, prepared.image_root)
    return check_images(manifest.select(_spread(len(manifest))), params.check_images, params.corrupt_images)


def _retrieval_sample(found: EvaluationSet, prepared: PreparedDataset, params: Params) -> Sample:
    """A retrieval set (one list, all against all, or queries and gallery), or some of its identities."""
    policy = (prepared.image_root, params.check_images, params.corrupt_images)
    parts = [load_images(file, *policy) for file in found.files]
    wanted = _identities_to_compare([part.manifest for part in parts])
    rows = [np.flatnonzero(np.isin(part.manifest.identities, wanted)) for part in parts]
    query, gallery = parts[0].manifest.select(rows[0]), parts[-1].manifest.select(rows[-1])
    gallery = query if len(parts) == 1 else gallery
    sides = [query] if gallery is query else [query, gallery]
    files = [file for side in sides for file in side.files()]
    if not files:
        raise UserError(f"{found.files[0]}: no identity in it has a match; give images with --images")
    orientations = np.concatenate([part.orientations[keep] for part, keep in zip(parts, rows, strict=True)])
    source = found.name
    if len(files) < sum(len(part) for part in parts):
        source = f"{len(wanted):,} identities of {found.name} drawn with a fixed seed, easier than the whole set"
    excluder = default_excluder(query, gallery)
    try:
        make_task(query, gallery, excluder)
    except UserError:  # by the protocol, no query has a match
        return Sample(files, orientations, source)

    def recall(embeddings: np.ndarray) -> float:
        query_emb, gallery_emb = embeddings[: len(query)], embeddings[-len(gallery) :]
        return evaluate_retrieval(query_emb, gallery_emb, query, gallery, excluder, params.metric).metrics["recall@1"]

    return Sample(files, orientations, source, found.name, recall)


def _identities_to_compare(parts: list[Manifest]) -> np.ndarray:
    """Identities with a match: all, or as many as fit into `MOST` images, drawn with a fixed random seed."""
    identities, counts = np.unique(np.concatenate([part.identities for part in parts]), return_counts=True)
    matched = np.logical_and.reduce([np.isin(identities, part.identities) for part in parts]) & (counts > 1)
    identities, counts = identities[matched], counts[matched]
    chosen: list[str] = []
    images = 0
    for number in np.random.default_rng(_SEED).permutation(len(identities)):
        if images + counts[number] <= MOST or not chosen:
            chosen.append(identities[number])
            images += counts[number]
    return np.array(chosen, object)


def _spread(count: int) -> np.ndarray:
    """Up to `COMPARED` positions, spread evenly over a list."""
    return np.unique(np.linspace(0, count - 1, min(count, COMPARED)).astype(int))
