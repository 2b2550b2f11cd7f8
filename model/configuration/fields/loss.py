"""Parameters of the loss."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from model.configuration.fields.types import Fields, OneOf, ascending
from model.distances import USUAL

_STRATEGY = OneOf("model.losses.strategies")


def _curriculum(entries: list[list[int | str]]) -> list[list[int | str]]:
    """Entries [step, name of a strategy] that begin at step 0."""
    steps = []
    for entry in entries:
        match entry:
            case [int(step), str(name)]:
                steps.append(step)
            case _:
                raise ValueError(f"{entry} must be [step, name]")
        if _STRATEGY.check(name) == "basic":
            raise ValueError("'basic' has triples of its own and cannot be part of a curriculum")
    if steps[0] != 0:
        raise ValueError(f"the first entry is {entries[0]}, but a curriculum begins at step 0")
    ascending(steps)
    return entries


class LossParams(Fields):
    """Parameters of the loss."""

    triplet_strategy: (
        Annotated[str, _STRATEGY] | Annotated[list[list[int | str]], Field(min_length=1), AfterValidator(_curriculum)]
    ) = Field(
        "batch_hard",
        description="How triplets are chosen in the batch, by name; or a curriculum, `[[0, name], [step, name], ...]`: "
        "each name from its step on.",
    )
    margin: Annotated[float, Field(ge=0)] | Literal["soft", "none"] = Field(
        "soft", description='Margin as a number (hinge), "soft" (softplus), or "none" (the plain difference).'
    )
    metric: Annotated[str, OneOf("model.distances", USUAL)] = Field(
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
        description="Cross-batch memory: so many past embeddings serve as further positives and negatives, from the "
        "end of `warmup_steps` on.",
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

    @property
    def curriculum(self) -> list[tuple[int, str]]:
        """(first step, name) of the triplet strategies, in order; the first one begins at step 0."""
        if isinstance(self.triplet_strategy, str):
            return [(0, self.triplet_strategy)]
        return [(int(step), str(name)) for step, name in self.triplet_strategy]

    @model_validator(mode="after")
    def _terms_fit(self) -> "LossParams":
        if self.squared and "metric" in self.model_fields_set and self.metric != "sqeuclidean":
            raise ValueError(f"squared: true means metric sqeuclidean, but metric is {self.metric!r}; drop one")
        if self.triplet_strategy == "basic" and self.memory_size:
            raise ValueError("memory_size has no effect with triplet_strategy 'basic': its triples are given; drop one")
        if self.label_smoothing and not self.classification_weight:
            raise ValueError("label_smoothing has no effect without classification_weight; give that too, or drop it")
        if self.squared:
            object.__setattr__(self, "metric", "sqeuclidean")
        return self
