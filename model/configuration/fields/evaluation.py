"""Parameters of the evaluator."""

from typing import Annotated, Literal

from pydantic import Field

from model.configuration.fields.types import Fields


class EvaluationParams(Fields):
    """Parameters of the evaluator."""

    eval_sets: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Names of the evaluation sets to use; null: all."
    )
    eval_batch_size: int = Field(128, ge=1, le=10**5, description="Images per batch when embedding.")
    eval_interval_secs: float = Field(
        10.0, gt=0, le=1e6, description="Seconds between the evaluator's checks for a new checkpoint."
    )
    eval_timeout_secs: float = Field(
        3600.0, gt=0, le=1e9, description="The evaluator ends after this many seconds without a new checkpoint."
    )
    eval_run_once: bool = Field(False, description="Evaluate only the latest checkpoint, as `evaluate.py --once` does.")
    eval_pool_sequences: Literal["none", "mean", "max", "normalized_mean"] = Field(
        "none", description="Pool the embeddings of each sequence before comparing queries and gallery (MARS)."
    )
    eval_pictures: bool = Field(
        True, description="Write pictures of rankings and distances, and the embedding projector, for TensorBoard."
    )
    best_metric: str = Field(
        "auto",
        description="`<set>/<metric>` that defines the best checkpoint; `auto`: see below.",
    )
