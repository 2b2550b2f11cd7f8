"""All parameters of a run in one class. `fields/` defines them, by subject."""

from pydantic import model_validator

from model.configuration.fields.batches import BatchParams
from model.configuration.fields.data import DataParams
from model.configuration.fields.evaluation import EvaluationParams
from model.configuration.fields.loss import LossParams
from model.configuration.fields.network import NetworkParams
from model.configuration.fields.training import TrainingParams

_LARGEST = 64 * 10**9  # bytes of one tensor


class Params(EvaluationParams, TrainingParams, LossParams, NetworkParams, BatchParams, DataParams):
    """The parameters of one run, checked. Unknown keys and wrong types are errors."""

    @model_validator(mode="after")
    def _subjects_fit(self) -> "Params":
        if self.triplet_strategy == "basic" and self.sampling != "triplets":
            raise ValueError(
                f"triplet_strategy 'basic' needs given triples: sampling must be 'triplets', not {self.sampling!r}"
            )
        if self.whitening in ("end", "both") and self.early_stopping_evaluations:
            raise ValueError(
                f"whitening {self.whitening!r} needs a known last step, which early stopping does not have; "
                f"drop early_stopping_evaluations"
            )
        height, width = self.image_shape
        images = self.batch_p * self.batch_k
        for what, numbers, remedy in (
            (
                f"a batch of {images:,} images of {height} x {width} pixels",
                images * height * width * self.image_channels,
                "batch_p, batch_k or image_size",
            ),
            (
                f"a memory of {self.memory_size:,} embeddings with {self.embedding_size:,} dimensions",
                self.memory_size * self.embedding_size,
                "memory_size or embedding_size",
            ),
        ):
            if 4 * numbers > _LARGEST:
                raise ValueError(
                    f"{what} takes {4e-9 * numbers:,.0f} GB, more than {_LARGEST / 1e9:.0f}; lower {remedy}"
                )
        return self
