"""The parameters of a run as one class; what they are and how they fit each other is in fields/, by subject."""

from pydantic import model_validator

from model.configuration.fields.batches import BatchParams
from model.configuration.fields.data import DataParams
from model.configuration.fields.evaluation import EvaluationParams
from model.configuration.fields.loss import LossParams
from model.configuration.fields.network import NetworkParams
from model.configuration.fields.training import TrainingParams

# Of several mistakes the first one is reported.
_CHECKS = (
    *("squared", "length", "triplets", "sampling", "sizes", "classification", "batch_norm", "gem", "plateau", "head"),
    *("whitening", "frozen_stages", "pool", "schedule"),
)


class Params(EvaluationParams, TrainingParams, LossParams, NetworkParams, BatchParams, DataParams):
    """The parameters of one run, checked. Unknown keys and wrong types are errors."""

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        for name in _CHECKS:
            getattr(self, f"check_{name}")()
        if self.squared:
            object.__setattr__(self, "metric", "sqeuclidean")
        if self.num_epochs is not None:
            object.__setattr__(self, "train_iterations", None)
        return self
