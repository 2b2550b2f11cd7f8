"""The parameters of a run as one class; what they are and how they fit each other is in fields/, by subject."""

from pydantic import model_validator

from model.configuration.fields.batches import BatchParams
from model.configuration.fields.data import DataParams
from model.configuration.fields.evaluation import EvaluationParams
from model.configuration.fields.loss import LossParams
from model.configuration.fields.network import NetworkParams
from model.configuration.fields.training import TrainingParams


class Params(EvaluationParams, TrainingParams, LossParams, NetworkParams, BatchParams, DataParams):
    """The parameters of one run, checked. Unknown keys and wrong types are errors."""

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        for check in (  # of several mistakes the first one is reported
            self.check_squared,
            self.check_length,
            self.check_triplets,
            self.check_sampling,
            self.check_sizes,
            self.check_classification,
            self.check_batch_norm,
            self.check_gem,
            self.check_plateau,
            self.check_head,
            self.check_whitening,
            self.check_frozen_stages,
            self.check_pool,
            self.check_schedule,
        ):
            check()
        if self.squared:
            object.__setattr__(self, "metric", "sqeuclidean")
        if self.num_epochs is not None:
            object.__setattr__(self, "train_iterations", None)
        return self
