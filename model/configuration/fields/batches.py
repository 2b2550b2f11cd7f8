"""Parameters of what a batch is."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from model.configuration.fields.types import Fields, OneOf


class BatchParams(Fields):
    """Parameters of what a batch is."""

    sampling: Annotated[str, OneOf("dataset.sampling")] = Field(
        "pk",
        description="What a batch is: `pk` P identities with K images each; `uniform` any P x K images; "
        "`triplets` P x K / 3 (rounded down) fixed triples of anchor, positive and negative, new ones for each epoch.",
    )
    batch_p: int = Field(18, ge=2, description="P: identities in a batch.")
    batch_k: int = Field(4, ge=2, description="K: images of each identity in a batch.")
    same_snippet_negatives: bool = Field(
        False,
        description="`sampling: pk` only: put identities that share a sequence (objects of one video snippet) into one "
        "batch, as negatives of each other; false keeps them in different batches.",
    )
    triplet_mining: Literal["random", "hard"] = Field(
        "random",
        description="`sampling: triplets`: draw an anchor's positive and negative at random, or take the farthest and "
        "the nearest one by the embeddings of the checkpoint at the start of the epoch.",
    )

    @model_validator(mode="after")
    def _batches_fit(self) -> "BatchParams":
        if self.triplet_mining == "hard" and self.sampling != "triplets":
            raise ValueError(f"triplet_mining 'hard' needs sampling 'triplets', not {self.sampling!r}")
        if self.same_snippet_negatives and self.sampling != "pk":
            raise ValueError(f"same_snippet_negatives needs sampling 'pk', not {self.sampling!r}")
        return self
