"""Parameters of the evaluator."""

from typing import Annotated, Literal

from pydantic import Field

from model.configuration.fields.types import Fields, Positive


class EvaluationParams(Fields):
    """Parameters of the evaluator."""

    eval_sets: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Evaluation sets to use, by name; null is all of them."
    )
    eval_batch_size: Positive = Field(128, description="Images in a batch when embedding.")
    eval_interval_secs: float = Field(10.0, gt=0, le=1e6, description="Seconds between looks for a new checkpoint.")
    eval_timeout_secs: float = Field(
        3600.0, gt=0, le=1e9, description="The evaluator ends after so many seconds without a new checkpoint."
    )
    eval_run_once: bool = Field(False, description="Evaluate the latest checkpoint and end, as `--once`.")
    eval_pool_sequences: Literal["none", "mean", "max", "normalized_mean"] = Field(
        "none", description="Make one embedding of each sequence before queries and gallery are compared: MARS."
    )
    eval_pictures: bool = Field(
        True, description="The evaluator draws rankings and distances, and keeps a projector, for TensorBoard."
    )
    best_metric: str = Field(
        "auto",
        description="What `best/` keeps, and `plateau_evaluations` and `early_stopping_evaluations` watch: "
        "`<set>/<metric>`; `auto` is `val_eval/general_accuracy`, "
        "else the first set's `general_accuracy` or `map`.",
    )
