"""Parameters of the batches."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from model.configuration.fields.types import Fields, OneOf


class BatchParams(Fields):
    """Parameters of the batches."""

    sampling: Annotated[str, OneOf("dataset.sampling")] = Field(
        "pk",
        description="`pk`: P identities with K images each; `uniform`: P x K images; `triplets`: P x K / 3 triples.",
    )
    batch_p: int = Field(18, ge=2, le=10**6, description="P, identities in a batch.")
    batch_k: int = Field(4, ge=2, le=10**6, description="K, images of each identity in a batch.")
    same_snippet_negatives: bool = Field(
        False,
        description="`pk`: identities of one sequence (video snippet) share a batch; false: they never do.",
    )
    triplet_mining: Literal["random", "hard"] = Field(
        "random",
        description="`triplets`: draw them at random for each epoch, or mine the hardest by its first checkpoint.",
    )

    @model_validator(mode="after")
    def _batches_fit(self) -> "BatchParams":
        if self.triplet_mining == "hard" and self.sampling != "triplets":
            raise ValueError(
                f"triplet_mining 'hard' needs sampling 'triplets', not {self.sampling!r}; change one of them"
            )
        if self.same_snippet_negatives and self.sampling != "pk":
            raise ValueError(f"same_snippet_negatives needs sampling 'pk', not {self.sampling!r}; change one of them")
        return self
