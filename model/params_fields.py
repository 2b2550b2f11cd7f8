"""The parameters of a run: type, default, range and meaning of each. How they go together is in params_rules.py."""

import difflib
import itertools
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dataset import by_name
from model.params_rules import check_rules


def _one_of(package: str) -> AfterValidator:
    """A string that names a module of `package`."""

    def check(name: str) -> str:
        names = by_name.choices(package)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"unknown name {name!r}{hint} The choices are {', '.join(names)}")
        return name

    return AfterValidator(check)


def _ascending(values: list) -> list:
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError(f"{values} must rise from each to the next")
    return values


def _range(limits: list[float]) -> list[float]:
    if limits[0] > limits[1]:
        raise ValueError(f"{limits} must be [low, high]")
    return limits


Positive = Annotated[int, Field(ge=1)]
Size = Positive | Annotated[list[Positive], Field(min_length=2, max_length=2)]
Above0 = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]


class Params(BaseModel):
    """The parameters of one run, checked. Unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    # Data
    dataset: str = Field("synthetic_vid", description="Prepared data set: its folder, or its name under `data/`.")
    image_size: Size = Field(64, description="Input of the network in pixels: a side, or `[height, width]`.")
    image_channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for RGB images.")
    pre_crop_size: Size | None = Field(
        None, description="Size that training images get before `random_crop`; null is 9/8 of `image_size`."
    )
    pad_to_square: bool = Field(
        False, description="Pad to a square before resizing, instead of stretching; for a square `image_size`."
    )
    augmentation: list[Annotated[str, _one_of("dataset.augmentation")]] = Field(
        ["random_crop", "horizontal_flip"], description="Training augmentations by name, applied in this order."
    )
    rotated_identities: bool = Field(
        False,
        description="Train also on every identity turned by 90, 180 and 270 degrees, each as one of its own.",
    )
    scale_range: float = Field(0.2, ge=0, lt=1, description="`affine`: zoom by up to this fraction, in and out.")
    translate_range: float = Field(0.1, ge=0, le=1, description="`affine`: shift by up to this fraction of a side.")
    rotate_range: float = Field(15.0, ge=0, le=180, description="`affine`: rotation by up to so many degrees.")
    shear_range: float = Field(10.0, ge=0, lt=90, description="`affine`: shear by up to so many degrees.")
    erasing_probability: float = Field(
        0.5, ge=0, le=1, description="`random_erasing`: share of the images that lose a rectangle."
    )
    erasing_area: Annotated[list[Share], Field(min_length=2, max_length=2), AfterValidator(_range)] = Field(
        [0.02, 0.4],
        description="`random_erasing`: `[low, high]` of the rectangle's area, as a fraction of the image's.",
    )
    erasing_aspect: Annotated[list[Above0], Field(min_length=2, max_length=2), AfterValidator(_range)] = Field(
        [0.3, 3.33], description="`random_erasing`: `[low, high]` of the rectangle's height by its width."
    )
    erasing_fill: Literal["noise", "mean"] = Field(
        "noise", description="`random_erasing`: a random value for each pixel and channel, or ImageNet's mean colour."
    )
    check_images: Literal["headers", "full", "off"] = Field(
        "headers",
        description="Before training: look at the first and last bytes of every file, decode every file, or neither.",
    )
    corrupt_images: Literal["error", "skip"] = Field(
        "error", description="What to do with images that `check_images` finds broken: stop, or leave out and count."
    )
    num_parallel_calls: Positive | None = Field(
        None, description="Images decoded at the same time; null lets tf.data decide."
    )
    prefetch_threads: Positive = Field(4, description="Batches prepared ahead of the training step.")

    # Batches
    sampling: Annotated[str, _one_of("dataset.sampling")] = Field(
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

    # Network
    model_type: Annotated[str, _one_of("model.backbones")] = Field("basic", description="Backbone, by name.")
    last_stride: Literal[1, 2] = Field(
        2,
        description="`resnet_v1_*`, `mobilenet_v2`: 1 leaves out the last down-sampling, so that the feature map has "
        "twice the height and width; the weights are the same.",
    )
    head: Annotated[str, _one_of("model.heads")] = Field(
        "direct", description="What turns backbone features into the embedding, by name."
    )
    pooling: Literal["average", "max", "flatten"] = Field(
        "average", description="How the head makes a vector of the backbone's feature map."
    )
    embedding_size: Positive = Field(
        128,
        description="D: dimensions of the embedding. Of `bnneck`, which has no linear layer, it must be the width of "
        "the pooled features: 2048 for ResNets, 1280 for `mobilenet_v2`.",
    )
    preprocess: bool = Field(
        True, description="Scale pixels as the backbone's pretrained weights expect; false feeds them as 0..1."
    )
    num_channels: Positive | Annotated[list[Positive], Field(min_length=1)] = Field(
        32, description="`basic`: channels per block as a list; a number c is `[c, 2c, 4c, 8c]`."
    )
    use_batch_norm: bool = Field(True, description="`basic`: batch norm after every convolution.")
    bn_momentum: float = Field(0.9, ge=0, lt=1, description="`basic`: momentum of the batch norm's moving averages.")
    warm_start_from: str | None = Field(
        None,
        description='Weights to start from: "imagenet", a Keras weights file, a checkpoint, or another run.',
    )
    freeze_batch_norm: bool = Field(
        False,
        description="Keep the backbone's batch norm as `warm_start_from` gives it: statistics, scales and shifts.",
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        "float32", description="Arithmetic of the backbone; the embedding and the loss are always float32."
    )

    # Loss
    triplet_strategy: Annotated[str, _one_of("model.losses")] = Field(
        "batch_hard", description="How triplets are chosen in the batch, by name."
    )
    margin: Annotated[float, Field(ge=0)] | Literal["soft", "none"] = Field(
        "soft", description='Margin as a number (hinge), "soft" (softplus), or "none" (the plain difference).'
    )
    metric: Literal["euclidean", "sqeuclidean", "cityblock", "cosine"] = Field(
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

    # Training
    learning_rate: float = Field(3e-4, gt=0, description="Learning rate of Adam, before its schedule.")
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
    decay_steps: Annotated[list[Positive], AfterValidator(_ascending)] = Field(
        [], description="`learning_rate_schedule: step`: after these steps the learning rate is lowered; ascending."
    )
    decay_factor: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="`learning_rate_schedule: step`: what the learning rate is multiplied by each time.",
    )
    adam_epsilon: float = Field(1e-7, gt=0, description="Adam's epsilon.")
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
        False, description="Keep every batch's embeddings, losses and images in `detailed.h5`; large."
    )
    collapse_steps: Positive = Field(
        100, description="Steps in a collapsed state after which the log warns, with the state's name and remedies."
    )
    save_checkpoints_steps: Positive = Field(500, description="Steps between checkpoints.")
    keep_checkpoints: Positive | None = Field(10, description="Newest checkpoints kept; null keeps all.")

    # Evaluation
    eval_sets: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Evaluation sets to use, by name; null is all of them."
    )
    eval_batch_size: Positive = Field(128, description="Images in a batch when embedding.")
    eval_interval_secs: float = Field(10.0, gt=0, le=1e6, description="Seconds between looks for a new checkpoint.")
    eval_timeout_secs: float = Field(
        3600.0, gt=0, le=1e9, description="The evaluator ends after so many seconds without a new checkpoint."
    )
    eval_run_once: bool = Field(False, description="Evaluate the latest checkpoint and end, as `--once`.")
    eval_memory_gb: float = Field(1.0, gt=0, description="Memory for blocks of distances, in gigabytes.")
    eval_pool_sequences: Literal["none", "mean", "max", "normalized_mean"] = Field(
        "none", description="Make one embedding of each sequence before queries and gallery are compared: MARS."
    )
    best_metric: str = Field(
        "auto",
        description="What `best/` keeps: `<set>/<metric>`; `auto` is `val_eval/general_accuracy`, "
        "else the first set's `general_accuracy` or `map`.",
    )

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

    def total_steps(self, steps_per_epoch: int) -> int:
        """Number of training steps that the parameters ask for."""
        if self.only_one_step:
            return 1
        return self.train_iterations or self.num_epochs * steps_per_epoch


def _pair(size: int | list[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
