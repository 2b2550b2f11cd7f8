"""Parameters of the loss."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from model.configuration.fields.types import Fields, NamesOf, ascending, check_name, one_of
from model.distances import USUAL

_STRATEGIES = "model.losses.strategies"


def _strategy(value: str | list[list[int | str]]) -> str | list[list[int | str]]:
    """The name of a strategy, or a curriculum: entries [step, name] that begin at step 0."""
    if isinstance(value, str):
        return check_name(_STRATEGIES, value)
    for entry in value:
        if [type(part) for part in entry] != [int, str]:
            raise ValueError(f"{entry} must be [step, name]")
        if check_name(_STRATEGIES, entry[1]) == "basic":
            raise ValueError("'basic' has triples of its own and cannot be part of a curriculum")
    if value[0][0] != 0:
        raise ValueError(f"the first entry is {value[0]}, but a curriculum begins at step 0")
    ascending([step for step, _ in value])
    return value


class LossParams(Fields):
    """Parameters of the loss."""

    triplet_strategy: Annotated[
        str | Annotated[list[list[int | str]], Field(min_length=1)], AfterValidator(_strategy), NamesOf(_STRATEGIES)
    ] = Field(
        "batch_hard",
        description="How triplets are chosen in the batch, by name; or a curriculum, `[[0, name], [step, name], ...]`: "
        "each name from its step on.",
    )
    margin: Annotated[float, Field(ge=0)] | Literal["soft", "none"] = Field(
        "soft", description='Margin as a number (hinge), "soft" (softplus), or "none" (the plain difference).'
    )
    metric: one_of("model.distances", USUAL) = Field(
        "euclidean", description="Distance of embeddings, in training and evaluation."
    )
    squared: bool = Field(False, description="true is the older way to say `metric: sqeuclidean`.")
    batch_all_mean: Literal["active", "valid"] = Field(
        "active", description="`batch_all`: the mean is over the triples with a loss above 0, or over all of them."
    )
    memory_size: int = Field(
        0,
        ge=0,
        le=10**7,
        description="Cross-batch memory: so many past embeddings serve as further positives and negatives.",
    )
    memory_start_step: int = Field(
        0, ge=0, description="Step from which the memory is filled; before, embeddings change too fast to be kept."
    )
    classification_weight: float = Field(
        0.0, ge=0, description="Weight of a softmax classification of the training identities beside the triplet loss."
    )
    classification_temperature: float = Field(1.0, gt=0, description="The classifier's logits are divided by it.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="The part of the classification target that is spread evenly over all identities."
    )
    center_loss_weight: float = Field(
        0.0, ge=0, description="Weight of the centre loss: half the squared distance to the identity's centre."
    )
    center_loss_rate: float = Field(0.5, gt=0, le=1, description="How far centres move towards the batch in a step.")
    embedding_norm_weight: float = Field(0.0, ge=0, description="Weight of the mean squared length of the embeddings.")

    @property
    def curriculum(self) -> list[tuple[int, str]]:
        """(first step, name) of the triplet strategies, in order; the first one begins at step 0."""
        if isinstance(self.triplet_strategy, str):
            return [(0, self.triplet_strategy)]
        return [(step, name) for step, name in self.triplet_strategy]

    def check_squared(self) -> None:
        """Raises a ValueError when `squared` and `metric` ask for two distances."""
        if self.squared and "metric" in self.model_fields_set and self.metric != "sqeuclidean":
            raise ValueError(f"squared: true means metric sqeuclidean, but metric is {self.metric!r}; drop one")

    def check_triplets(self) -> None:
        """Raises a ValueError for a strategy that the batches do not suit, or a memory that it does not use."""
        if self.triplet_strategy == "basic" and self.sampling != "triplets":
            raise ValueError(
                f"triplet_strategy 'basic' scores given triples: it needs sampling 'triplets', not {self.sampling!r}"
            )
        if self.triplet_strategy == "basic" and self.memory_size:
            raise ValueError("memory_size has no effect with triplet_strategy 'basic': its triples are given; drop one")
        if self.memory_start_step and not self.memory_size:
            raise ValueError("memory_start_step has no effect without memory_size; give that too, or drop it")

    def check_classification(self) -> None:
        """Raises a ValueError for parameters of a classification that there is none of."""
        if self.label_smoothing and not self.classification_weight:
            raise ValueError("label_smoothing has no effect without classification_weight; give that too, or drop it")
