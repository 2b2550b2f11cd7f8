"""The source of training batches for `visualize.py data` and `batches`: a run, or a file of parameters."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.loading.training_set import TrainingSet, load_training_set
from dataset.sampling.triplets import TripletSampler
from model.configuration.params import Params
from model.run.run_folder import RunFolder
from model.run.triples_file import load_triples
from runtime.errors import UserError


@dataclass(frozen=True)
class TrainingBatch:
    """B images of one step.

    Attributes:
        step: their training step, from 0.
        images: (B, H, W, C) uint8, augmented.
        originals: (B, H, W, C) uint8, resized only, as the evaluation gets them; None if not requested.
        indices: (B,) their numbers among the training images.
    """

    step: int
    images: np.ndarray
    originals: np.ndarray | None
    indices: np.ndarray


def load_batches_of(params: Params, run: Path | None, step: int, count: int) -> TrainingSet:
    """The training images, and a sampler for the batches of steps `step` .. `step + count - 1`.

    Raises:
        UserError: for a broken data set, or hard triples that the run has not kept for these steps.
    """
    data = load_training_set(params)
    sampler = data.sampler
    if params.triplet_mining != "hard" or not isinstance(sampler, TripletSampler):
        return data
    # Mined triples depend on the network at the start of their epoch: only those that the run kept are known.
    length, folder = sampler.steps_per_epoch, RunFolder(run).triples if run else None
    for epoch in range(step // length, (step + count - 1) // length + 1):
        triples = load_triples(folder, epoch) if folder else None
        try:
            if triples is None:
                raise ValueError("no such file")
            sampler.use(epoch, triples)
        except ValueError as error:
            where = folder / f"epoch-{epoch}.npy" if folder else "the run's triples/"
            raise UserError(
                f"step {step} trains on hard triples, mined for each epoch of {length} steps; those of epoch {epoch} "
                f"cannot be read from {where} ({error}): choose a --step of the newest epochs, or random triples with "
                "--set triplet_mining=random"
            ) from error
    return data
