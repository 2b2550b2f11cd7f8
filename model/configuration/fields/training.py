"""Parameters of the training, its logs and its checkpoints."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from model.configuration.fields.types import Count, Fields, Positive, Rate, ascending

_MOMENTUM = 0.9


class TrainingParams(Fields):
    """Parameters of the training, its logs and its checkpoints."""

    # Training
    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        "adam", description="`adamw`: Adam with `weight_decay`; `sgd`: gradient descent with `momentum`."
    )
    learning_rate: Rate = Field(3e-4, description="Learning rate, before the schedule is applied.")
    backbone_learning_rate: Rate | None = Field(
        None, description="Learning rate of the backbone, under the same schedule; null: `learning_rate`."
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        lt=1e3,
        description="`adamw`, `sgd`: share of the kernels, times the learning rate, that is subtracted in each step.",
    )
    momentum: float = Field(
        _MOMENTUM, ge=0, lt=1, description="`sgd`: share of the last step that is repeated in the next one."
    )
    clip_norm: Rate | None = Field(
        None, description="Largest norm of the gradient of all weights; longer ones are scaled down. null: any."
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of a moving average of the weights, which is evaluated and exported; null: none.",
    )
    learning_rate_schedule: Literal["constant", "exponential", "cosine", "step"] = Field(
        "constant",
        description="How the learning rate falls after `decay_start_step`; `step`: at each of `decay_steps`.",
    )
    warmup_steps: Count = Field(0, description="Steps at the start over which the learning rate rises linearly from 0.")
    decay_start_step: Count = Field(0, description="Step at which the decay of the learning rate begins.")
    decay_final_fraction: float = Field(
        0.001, gt=0, le=1, description="Learning rate of the last step, as a fraction of `learning_rate`."
    )
    decay_steps: Annotated[list[Positive], Field(max_length=1000), AfterValidator(ascending)] = Field(
        [], description="`step` schedule: steps at which the learning rate is multiplied by `decay_factor`; ascending."
    )
    decay_factor: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="`step` schedule: factor of the learning rate at each of `decay_steps`.",
    )
    plateau_evaluations: Positive | None = Field(
        None,
        description="Lower the learning rate after this many evaluations without a better `best_metric`; null: never.",
    )
    plateau_factor: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="`plateau_evaluations`: factor of the learning rate each time, down to 0.001 of the schedule.",
    )
    early_stopping_evaluations: Positive | None = Field(
        None, description="End training after this many evaluations without a better `best_metric`; null: never."
    )
    num_epochs: Positive | None = Field(
        None,
        description="Length of training in epochs (`pk`: passes over the identities), instead of `train_iterations`.",
    )
    train_iterations: Positive | None = Field(25000, description="Length of training in steps (batches).")
    only_one_step: bool = Field(False, description="End after one step, to test the setup.")
    seed: int = Field(0, ge=0, lt=2**31, description="Random seed of initial weights, sampling and augmentation.")
    deterministic: bool = Field(
        False, description="Use deterministic ops only: equal runs give the same bits. Somewhat slower on GPUs."
    )
    distribution: Literal["none", "mirrored", "multi_worker", "auto"] = Field(
        "none",
        description="`mirrored`: on all local GPUs; `multi_worker`: on several hosts; `auto`: either. Each mines "
        "in the whole batch.",
    )
    micro_batch: Positive | None = Field(
        None,
        description="Images that a device keeps in memory at a time, with the gradients of the whole batch; null: all.",
    )
    recompute: bool = Field(
        False,
        description="Compute activations of the backbone again for its gradient (activation checkpointing), in less "
        "memory.",
    )
    jit_compile: bool = Field(False, description="Compile the training step with XLA; faster on GPUs, not on CPUs.")

    # Logs and checkpoints
    save_summary_steps: Positive = Field(
        50, description="Steps between two lines of the log, and between two points in TensorBoard."
    )
    save_picture_steps: Positive | None = Field(
        500, description="Steps between two pictures of the hardest triplets in TensorBoard; null: none."
    )
    detailed_log: bool = Field(
        False, description="Save embeddings, losses and image numbers of every batch in `detailed/`; takes much space."
    )
    detailed_log_gb: float = Field(
        10.0, gt=0, le=1e6, description="`detailed_log`: gigabytes to keep; above them, the oldest files are removed."
    )
    csv_log: bool = Field(
        False, description="Write metrics.csv and results.csv, with the contents of metrics.jsonl and results.jsonl."
    )
    save_checkpoints_steps: Positive = Field(500, description="Steps between two checkpoints.")
    keep_checkpoints: Positive | None = Field(10, description="Number of newest checkpoints to keep; null: all.")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Length of the training in steps."""
        if self.only_one_step:
            return 1
        return self.train_iterations or (self.num_epochs or 0) * steps_per_epoch

    @model_validator(mode="after")
    def _memory_fits(self) -> "TrainingParams":
        if self.recompute and self.jit_compile:
            raise ValueError("recompute has no effect with jit_compile: XLA merges what is computed twice; drop one")
        return self

    @model_validator(mode="after")
    def _length_and_schedule_fit(self) -> "TrainingParams":
        if self.num_epochs is not None:
            if "train_iterations" in self.model_fields_set and self.train_iterations is not None:
                raise ValueError("num_epochs and train_iterations are both set; keep one of them")
        elif self.train_iterations is None:
            raise ValueError("train_iterations and num_epochs are both null; set one of them")
        if self.learning_rate_schedule == "step" and not self.decay_steps:
            raise ValueError("learning_rate_schedule 'step' needs decay_steps, such as [10000, 20000]")
        if self.decay_start_step and self.learning_rate_schedule == "step":
            raise ValueError("decay_start_step has no effect with learning_rate_schedule 'step'; use decay_steps")
        if self.decay_steps and self.learning_rate_schedule != "step":
            raise ValueError(
                f"decay_steps have no effect with learning_rate_schedule {self.learning_rate_schedule!r}; "
                f"set it to 'step', or drop them"
            )
        if self.num_epochs is not None:
            object.__setattr__(self, "train_iterations", None)
        return self

    @model_validator(mode="after")
    def _optimizer_uses_its_parameters(self) -> "TrainingParams":
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError("weight_decay has no effect with optimizer 'adam'; set that to 'adamw', or drop it")
        if self.optimizer == "adamw" and not self.weight_decay:
            raise ValueError("optimizer 'adamw' needs a weight_decay, such as 0.01; without it, it is 'adam'")
        if self.optimizer != "sgd" and self.momentum != _MOMENTUM:
            raise ValueError(f"momentum has no effect with optimizer {self.optimizer!r}; set that to 'sgd', or drop it")
        return self
