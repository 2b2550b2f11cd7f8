"""Where `visualize.py data` and `batches` take training batches from: a run, or a file of parameters."""

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
        step: the training step that they are for, from 0.
        images: (B, H, W, C) uint8, augmented.
        originals: (B, H, W, C) uint8, resized only, as the evaluation sees them; None if not asked for.
        indices: (B,) which of the training images they are.
    """

    step: int
    images: np.ndarray
    originals: np.ndarray | None
    indices: np.ndarray


def load_batches_of(params: Params, run: Path | None, step: int, count: int) -> TrainingSet:
    """The training images and a sampler that knows the batches of steps `step` .. `step + count - 1`.

    Raises:
        UserError: for a broken data set, or hard triples that the run has not mined for these steps.
    """
    data = load_training_set(params)
    sampler = data.sampler
    if params.triplet_mining != "hard" or not isinstance(sampler, TripletSampler):
        return data
    # Mined triples are of an epoch, and of the network as it was when that began: only what the run kept is known.
    length, folder = sampler.steps_per_epoch, RunFolder(run).triples if run else None
    for epoch in range(step // length, (step + count - 1) // length + 1):
        triples = load_triples(folder, epoch) if folder else None
        try:
            if triples is None:
                raise ValueError("it is not there")
            sampler.use(epoch, triples)
        except ValueError as error:
            where = folder / f"epoch-{epoch}.npy" if folder else "the run's triples/"
            raise UserError(
                f"step {step} trains on hard triples, which are mined for each epoch of {length} steps; those of its "
                f"epoch {epoch} cannot be had from {where} ({error}): choose a --step of the newest epochs, or see "
                "other triples with --set triplet_mining=random"
            ) from error
    return data
