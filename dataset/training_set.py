"""The training images of a run, checked, with their sampler. Needs no TensorFlow."""

from dataclasses import dataclass
from typing import Any

from dataset.checked import CheckedImages, load_images
from dataset.prepared import PreparedDataset, open_prepared
from dataset.sampling import PKSampler


@dataclass(frozen=True)
class TrainingSet:
    """Training images and the batches that they come in."""

    prepared: PreparedDataset
    images: CheckedImages
    sampler: PKSampler

    def summary(self, batch_k: int) -> str:
        """One line for the start of a run: what there is, and what an epoch sees of it."""
        counts = self.sampler.counts
        few = int((counts < batch_k).sum())
        seen = self.sampler.images_per_epoch()
        skipped = f"; {len(self.images.skipped)} broken images left out" if self.images.skipped else ""
        return (
            f"data: {self.prepared.name}, {len(self.images):,} images of {len(counts):,} identities"
            f" ({few} of them with fewer than K = {batch_k}); an epoch is {self.sampler.steps_per_epoch} steps and "
            f"sees {seen:,} images ({seen / len(self.images):.0%}){skipped}"
        )


def load_training_set(params: Any) -> TrainingSet:
    """Reads and checks what `dataset` names.

    Raises:
        UserError: for a data set, list or image that is missing or broken, or fewer identities than P.
    """
    prepared = open_prepared(params.dataset)
    images = load_images(prepared.train_csv, prepared.image_root, params.check_images, params.corrupt_images)
    sampler = PKSampler(images.manifest.identities, params.batch_p, params.batch_k, params.seed)
    return TrainingSet(prepared, images, sampler)
