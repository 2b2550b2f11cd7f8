"""The training images of a run, checked, with their sampler. Needs no TensorFlow."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset.formats.prepared import PreparedDataset, open_prepared
from dataset.formats.reserved import find_nobody
from dataset.loading.checked import CheckedImages, load_images
from dataset.sampling import Sampler
from runtime import plugins
from runtime.counting import counted
from runtime.errors import UserError


@dataclass(frozen=True)
class TrainingSet:
    """Training images and the sampler of their batches."""

    prepared: PreparedDataset
    images: CheckedImages
    sampler: Sampler
    excluded: str = ""  # junk and distractors, in words

    def summary(self) -> str:
        """A line for the log: the number of images and identities, and how many of them an epoch sees."""
        sampler, seen = self.sampler, self.sampler.images_per_epoch
        origin = f" {sampler.origin}" if sampler.origin else ""
        broken = len(self.images.skipped)
        skipped = f"; {counted(broken, 'broken image')} skipped" if broken else ""
        skipped += f"; {self.excluded} excluded" if self.excluded else ""
        return (
            f"data: {self.prepared.name} in {self.prepared.folder}, {len(self.images):,} images of "
            f"{len(sampler.identities):,} identities ({sampler.shortage}){origin}; an epoch is "
            f"{counted(sampler.steps_per_epoch, 'step')}{sampler.epoch_has} and sees {seen:,} images "
            f"({seen / len(self.images):.0%}){skipped}"
        )


# EXIF orientations, each a clockwise quarter turn after the one before.
_QUARTER_TURNS = ((1, 6, 3, 8), (2, 7, 4, 5))


def with_rotated_identities(images: CheckedImages) -> CheckedImages:
    """Each image four times: unchanged, and turned by 90, 180 and 270 degrees as three new identities.

    This is usual on Omniglot, where a turned character is another character (Santoro et al., One-shot Learning with
    Memory-Augmented Neural Networks). A turn is stored as an EXIF orientation, which the pipeline applies anyway.
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
    """The training set of the parameter `dataset`, checked.

    Raises:
        UserError: for a data set, list or image that is missing or broken, or when a batch needs more images.
    """
    prepared = open_prepared(params.dataset)
    images = load_images(prepared.train_csv, prepared.image_root, params.check_images, params.corrupt_images)
    nobody = find_nobody(images.manifest.identities, images.manifest.paths)
    if nobody.mask.all():
        raise UserError(f"{prepared.train_csv}: it has only {nobody}, which show no person; add other images")
    if nobody.mask.any():
        keep = ~nobody.mask
        images = CheckedImages(images.manifest.select(keep), images.orientations[keep], images.skipped)
    if params.rotated_identities:
        images = with_rotated_identities(images)
    sampling, manifest = plugins.load("dataset.sampling", params.sampling), images.manifest
    try:
        sampler = sampling.make(manifest.identities, params, manifest.sequences)
    except UserError as error:  # what was excluded may be the cause
        raise UserError(f"{error}{f'; {nobody} excluded' if str(nobody) else ''}") from None
    return TrainingSet(prepared, images, sampler, str(nobody))
