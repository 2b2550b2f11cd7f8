"""Parameters of the training, of its logs and checkpoints."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from model.configuration.fields.types import Above0, Fields, Positive, ascending


class TrainingParams(Fields):
    """Parameters of the training, of its logs and checkpoints."""

    # Training
    learning_rate: float = Field(3e-4, gt=0, description="Learning rate of Adam, before its schedule.")
    backbone_learning_rate: Above0 | None = Field(
        None, description="Learning rate of the backbone, before the same schedule; null is `learning_rate`."
    )
    learning_rate_schedule: Literal["constant", "exponential", "cosine", "step"] = Field(
        "constant",
        description="How the learning rate falls from `decay_start_step` to the last step; `step` multiplies it "
        "instead by `decay_factor` at each of `decay_steps`.",
    )
    warmup_steps: int = Field(0, ge=0, description="Steps over which the learning rate rises linearly from 0.")
    decay_start_step: int = Field(0, ge=0, description="Step from which the schedule lowers the learning rate.")
    decay_final_fraction: float = Field(
        0.001, gt=0, le=1, description="Where the schedule ends, as a fraction of `learning_rate`."
    )
    decay_steps: Annotated[list[Positive], AfterValidator(ascending)] = Field(
        [], description="`learning_rate_schedule: step`: after these steps the learning rate is lowered; ascending."
    )
    decay_factor: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="`learning_rate_schedule: step`: what the learning rate is multiplied by each time.",
    )
    plateau_evaluations: Positive | None = Field(
        None,
        description="Lower the learning rate when so many evaluations in a row brought no better `best_metric`; needs "
        "evaluate.py beside the training. null: never.",
    )
    plateau_factor: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="`plateau_evaluations`: what the learning rate is multiplied by each time, down to 0.001 of it.",
    )
    early_stopping_evaluations: Positive | None = Field(
        None, description="End the training when so many evaluations in a row brought no better `best_metric`."
    )
    num_epochs: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        None,
        description="Length of the training in epochs (`pk`: passes over the identities); replaces `train_iterations`.",
    )
    train_iterations: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        25000, description="Length of the training in steps (batches)."
    )
    only_one_step: bool = Field(False, description="Stop after one step: a test of the whole set-up.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of initialisation, sampling and augmentation.")
    deterministic: bool = Field(
        False, description="Use deterministic ops only: equal runs give equal bits, on GPUs somewhat slower."
    )
    distribution: Literal["none", "mirrored"] = Field(
        "none", description='"mirrored" trains on all local GPUs; every replica mines in the whole batch.'
    )
    jit_compile: bool = Field(False, description="Compile the training step with XLA: pays on GPUs, not on CPUs.")

    # Logs and checkpoints
    save_summary_steps: Positive = Field(50, description="Steps between lines of the log and points in TensorBoard.")
    save_picture_steps: Positive | None = Field(
        500, description="Steps between pictures of the hardest triplets in TensorBoard; null for none."
    )
    detailed_log: bool = Field(
        False, description="Keep every batch's embeddings, losses and images in `detailed/`; large."
    )
    csv_log: bool = Field(
        False, description="Write metrics.csv and results.csv too: what is in metrics.jsonl and results.jsonl."
    )
    save_checkpoints_steps: Positive = Field(500, description="Steps between checkpoints.")
    keep_checkpoints: Positive | None = Field(10, description="Newest checkpoints kept; null keeps all.")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Number of training steps that the parameters ask for."""
        if self.only_one_step:
            return 1
        return self.train_iterations or (self.num_epochs or 0) * steps_per_epoch

    @model_validator(mode="after")
    def _length_and_schedule_fit(self) -> "TrainingParams":
        if self.num_epochs is not None:
            if "train_iterations" in self.model_fields_set and self.train_iterations is not None:
                raise ValueError("num_epochs and train_iterations are both given; keep one of them")
        elif self.train_iterations is None:
            raise ValueError("train_iterations and num_epochs are both null; give one of them")
        if self.learning_rate_schedule == "step" and not self.decay_steps:
            raise ValueError("learning_rate_schedule 'step' needs decay_steps, such as [10000, 20000]")
        if self.decay_start_step and self.learning_rate_schedule == "step":
            raise ValueError("decay_start_step has no effect with learning_rate_schedule 'step'; decay_steps say when")
        if self.decay_steps and self.learning_rate_schedule != "step":
            raise ValueError(
                f"decay_steps have no effect with learning_rate_schedule {self.learning_rate_schedule!r}; "
                f"set it to 'step', or drop them"
            )
        if self.num_epochs is not None:
            object.__setattr__(self, "train_iterations", None)
        return self
