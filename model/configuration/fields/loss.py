"""Parameters of the loss."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from model.configuration.fields.types import Fields, OneOf, Rate, Weight, ascending
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
            raise ValueError("'basic' uses given triples and cannot be part of a curriculum; remove it")
    if steps[0] != 0:
        raise ValueError(f"the first entry is {entries[0]}, but a curriculum begins at step 0; add an entry for it")
    ascending(steps)
    return entries


class LossParams(Fields):
    """Parameters of the loss."""

    triplet_strategy: (
        Annotated[str, _STRATEGY] | Annotated[list[list[int | str]], Field(min_length=1), AfterValidator(_curriculum)]
    ) = Field(
        "batch_hard",
        description="Which triplets of a batch count; or a curriculum `[[0, name], [step, name], ...]`.",
    )
    margin: Weight | Literal["soft", "none"] = Field(
        "soft", description='A number: hinge loss with this margin; "soft": softplus; "none": the difference itself.'
    )
    metric: Annotated[str, OneOf("model.distances", USUAL)] = Field(
        "euclidean", description="Distance between embeddings, in training and evaluation."
    )
    squared: bool = Field(False, description="true: an older form of `metric: sqeuclidean`.")
    batch_all_mean: Literal["active", "valid"] = Field(
        "active", description="`batch_all`: mean over the triplets with a loss above 0, or over all valid ones."
    )
    memory_size: int = Field(
        0,
        ge=0,
        le=10**7,
        description="Past embeddings that serve as further positives and negatives, once `warmup_steps` are over.",
    )
    classification_weight: Weight = Field(
        0.0, description="Weight of an additional loss: softmax classification of the training identities."
    )
    classification_temperature: Rate = Field(1.0, description="Divides the logits of the classifier.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Part of the classification target that is spread evenly over all identities."
    )
    center_loss_weight: Weight = Field(
        0.0, description="Weight of the centre loss: half the squared distance to the centre of the identity."
    )
    center_loss_rate: float = Field(
        0.5, gt=0, le=1, description="Fraction by which the centres move towards the batch at each step."
    )

    @property
    def curriculum(self) -> list[tuple[int, str]]:
        """(first step, name) of the triplet strategies, in order; the first one begins at step 0."""
        if isinstance(self.triplet_strategy, str):
            return [(0, self.triplet_strategy)]
        return [(int(step), str(name)) for step, name in self.triplet_strategy]

    @model_validator(mode="after")
    def _terms_fit(self) -> "LossParams":
        if self.squared and "metric" in self.model_fields_set and self.metric != "sqeuclidean":
            raise ValueError(f"squared: true means metric sqeuclidean, but metric is {self.metric!r}; drop one of them")
        if self.triplet_strategy == "basic" and self.memory_size:
            raise ValueError(
                "memory_size has no effect with triplet_strategy 'basic': its triples are given; drop one of them"
            )
        if self.label_smoothing and not self.classification_weight:
            raise ValueError("label_smoothing has no effect without classification_weight; set that too, or drop it")
        if self.squared:
            object.__setattr__(self, "metric", "sqeuclidean")
        return self
