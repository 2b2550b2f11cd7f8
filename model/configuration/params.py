"""The parameters of a run as one class. How they go together is in params_rules.py."""

from pydantic import model_validator

from model.configuration.fields.batches import BatchParams
from model.configuration.fields.data import DataParams
from model.configuration.fields.evaluation import EvaluationParams
from model.configuration.fields.loss import LossParams
from model.configuration.fields.network import NetworkParams
from model.configuration.fields.training import TrainingParams
from model.configuration.rules import check_rules


class Params(EvaluationParams, TrainingParams, LossParams, NetworkParams, BatchParams, DataParams):
    """The parameters of one run, checked. Unknown keys and wrong types are errors."""

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        check_rules(self)
        if self.squared:
            object.__setattr__(self, "metric", "sqeuclidean")
        if self.num_epochs is not None:
            object.__setattr__(self, "train_iterations", None)
        return self

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return _pair(self.image_size)

    @property
    def pre_crop_shape(self) -> tuple[int, int]:
        """(height, width) of a training image before its random crop."""
        if self.pre_crop_size is not None:
            return _pair(self.pre_crop_size)
        height, width = self.image_shape
        return round(height * 9 / 8), round(width * 9 / 8)

    @property
    def curriculum(self) -> list[tuple[int, str]]:
        """(first step, name) of the triplet strategies, in order; the first one begins at step 0."""
        if isinstance(self.triplet_strategy, str):
            return [(0, self.triplet_strategy)]
        return [(step, name) for step, name in self.triplet_strategy]

    def total_steps(self, steps_per_epoch: int) -> int:
        """Number of training steps that the parameters ask for."""
        if self.only_one_step:
            return 1
        return self.train_iterations or self.num_epochs * steps_per_epoch


def _pair(size: int | list[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
