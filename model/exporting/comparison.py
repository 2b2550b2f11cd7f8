"""Differences between an exported model and the run's network, computed in float32."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.exporting.sample import Sample
from model.run.model_json import Check, RecallCheck
from runtime.progress import Progress

_BATCH = 32

Run = Callable[[np.ndarray], np.ndarray]  # (n, H, W, C) uint8 -> (n, D) float32


@dataclass(frozen=True)
class Comparison:
    """Embeddings of one sample, by the run and by the exported model: (N, D) float32 each."""

    sample: Sample
    of_run: np.ndarray
    of_export: np.ndarray

    @property
    def largest_difference(self) -> float:
        """The largest difference of a coordinate, over the compared images; NaN if a coordinate is."""
        rows = self.sample.compared
        return float(np.abs(self.of_run[rows] - self.of_export[rows]).max())

    @property
    def embedding_length(self) -> float:
        """The mean length of the run's embeddings of these images."""
        return float(np.linalg.norm(self.of_run[self.sample.compared], axis=1).mean())

    @property
    def relative_difference(self) -> float:
        """The largest difference, divided by the mean length if that is above 1. The limit applies to this number."""
        return self.largest_difference / max(1.0, self.embedding_length)

    def describe(self) -> str:
        """The difference in words, including the number to which the limit applies."""
        text = f"{self.largest_difference:.2g}"
        if self.embedding_length > 1:
            text += f", {self.relative_difference:.2g} of the mean embedding length {self.embedding_length:.3g}"
        return text

    def check(self) -> Check:
        """The comparison, for model.json."""
        recall, sample = None, self.sample
        if sample.recall and sample.set:
            both = [sample.recall(embeddings) for embeddings in (self.of_run, self.of_export)]
            recall = RecallCheck(set=sample.set, images=len(sample.files), run=both[0], exported=both[1])
        return Check(
            images=len(sample.compared),
            largest_difference=self.largest_difference,
            embedding_length=self.embedding_length,
            recall=recall,
        )


def compare(run: Run, exported: Run, sample: Sample, params: Params) -> Comparison:
    """Embeds the images of a sample with the run's network and the exported model.

    Raises:
        UserError: for an image that cannot be decoded; names it.
    """
    progress = Progress("compared", len(sample.files), "images")
    pairs = []
    done = 0
    for batch in embedding_batches(sample.files, sample.orientations, params, min(params.eval_batch_size, _BATCH)):
        images = batch.numpy()
        pairs.append((run(images), exported(images)))
        done += len(images)
        progress(done)
    of_run, of_export = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return Comparison(sample, of_run, of_export)
