"""The training images of a run, checked, with their sampler. Needs no TensorFlow."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset.formats.prepared import PreparedDataset, open_prepared
from dataset.loading.checked import CheckedImages, load_images
from dataset.sampling import Sampler
from runtime import plugins


@dataclass(frozen=True)
class TrainingSet:
    """Training images and the batches that they come in."""

    prepared: PreparedDataset
    images: CheckedImages
    sampler: Sampler

    def summary(self) -> str:
        """One line for the start of a run: what there is, and what an epoch sees of it."""
        sampler, seen = self.sampler, self.sampler.images_per_epoch
        origin = f" {sampler.origin}" if sampler.origin else ""
        skipped = f"; {len(self.images.skipped)} broken images left out" if self.images.skipped else ""
        return (
            f"data: {self.prepared.name} in {self.prepared.folder}, {len(self.images):,} images of "
            f"{len(sampler.identities):,} identities ({sampler.shortage}){origin}; an epoch is "
            f"{sampler.steps_per_epoch} steps{sampler.epoch_has} and sees {seen:,} images "
            f"({seen / len(self.images):.0%}){skipped}"
        )


# EXIF orientations in the order in which quarter turns (clockwise) lead from one to the next.
_QUARTER_TURNS = ((1, 6, 3, 8), (2, 7, 4, 5))


def with_rotated_identities(images: CheckedImages) -> CheckedImages:
    """Each image four times: as it is, and turned by 90, 180 and 270 degrees under an identity of its own.

    A usual augmentation of Omniglot, where a turned character is another character (Santoro et al., One-shot Learning
    with Memory-Augmented Neural Networks). A turn is an EXIF orientation, which the pipeline undoes anyway.
    """
    following = np.arange(9, dtype=np.uint8)
    for cycle in _QUARTER_TURNS:
        following[list(cycle)] = np.roll(cycle, -1)
    manifest, orientations = images.manifest, [images.orientations]
    for _ in range(3):
        orientations.append(following[orientations[-1]])
    repeated = manifest.select(np.tile(np.arange(len(manifest)), 4))
    turns = np.repeat(["", "@90", "@180", "@270"], len(manifest)).astype(object)
    repeated = dataclasses.replace(repeated, identities=repeated.identities + turns)
    return CheckedImages(repeated, np.concatenate(orientations), images.skipped)


def load_training_set(params: Any) -> TrainingSet:
    """Reads and checks what `dataset` names.

    Raises:
        UserError: for a data set, list or image that is missing or broken, or too little of them for a batch.
    """
    prepared = open_prepared(params.dataset)
    images = load_images(prepared.train_csv, prepared.image_root, params.check_images, params.corrupt_images)
    if params.rotated_identities:
        images = with_rotated_identities(images)
    sampling, manifest = plugins.load("dataset.sampling", params.sampling), images.manifest
    sampler = sampling.make(manifest.identities, params, manifest.sequences)
    return TrainingSet(prepared, images, sampler)
