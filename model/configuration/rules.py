"""How the parameters of a run go together: what one says that another must fit."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.configuration.params import Params


def check_rules(params: "Params") -> None:
    """Checks parameters that are right each by itself.

    Raises:
        ValueError: what does not fit, and what to do.
    """
    given = params.model_fields_set
    if params.squared and "metric" in given and params.metric != "sqeuclidean":
        raise ValueError(f"squared: true means metric sqeuclidean, but metric is {params.metric!r}; drop one")
    if params.num_epochs is not None:
        if "train_iterations" in given and params.train_iterations is not None:
            raise ValueError("num_epochs and train_iterations are both given; keep one of them")
    elif params.train_iterations is None:
        raise ValueError("train_iterations and num_epochs are both null; give one of them")
    if params.triplet_strategy == "basic" and params.sampling != "triplets":
        raise ValueError(
            f"triplet_strategy 'basic' scores given triples: it needs sampling 'triplets', not {params.sampling!r}"
        )
    if params.triplet_strategy == "basic" and params.memory_size:
        raise ValueError("memory_size has no effect with triplet_strategy 'basic': its triples are given; drop one")
    if params.memory_start_step and not params.memory_size:
        raise ValueError("memory_start_step has no effect without memory_size; give that too, or drop it")
    if params.triplet_mining == "hard" and params.sampling != "triplets":
        raise ValueError(f"triplet_mining 'hard' needs sampling 'triplets', not {params.sampling!r}")
    if params.same_snippet_negatives and params.sampling != "pk":
        raise ValueError(f"same_snippet_negatives needs sampling 'pk', not {params.sampling!r}")
    crops = {"random_crop", "random_resized_crop"} & set(params.augmentation)
    if params.pre_crop_size is not None and not crops:
        raise ValueError(
            "pre_crop_size has no effect without random_crop or random_resized_crop in augmentation; "
            "add one, or drop the size"
        )
    if len(crops) == 2:
        raise ValueError("augmentation has random_crop and random_resized_crop, which cut out the same; drop one")
    if params.pad_to_square and params.image_shape[0] != params.image_shape[1]:
        raise ValueError(f"pad_to_square needs a square image_size, not {params.image_size}")
    if any(p < i for p, i in zip(params.pre_crop_shape, params.image_shape, strict=True)):
        raise ValueError(f"pre_crop_size {params.pre_crop_size} is smaller than image_size {params.image_size}")
    if params.label_smoothing and not params.classification_weight:
        raise ValueError("label_smoothing has no effect without classification_weight; give that too, or drop it")
    if params.batch_norm == "frozen" and params.warm_start_from is None:
        raise ValueError("batch_norm 'frozen' keeps the batch norm of pretrained weights: it needs warm_start_from")
    # Compared with the defaults, as params.resolved.json gives every parameter.
    changed = {name for name, field in type(params).model_fields.items() if getattr(params, name) != field.default}
    for name in sorted(changed & {"gem_p", "gem_learned"}):
        if not (params.head in ("gem", "cgd") or (params.pooling == "gem" and params.head != "similarity")):
            raise ValueError(f"{name} has no effect without GeM: head 'gem' or 'cgd', or pooling 'gem'; drop it")
    if params.plateau_evaluations and params.plateau_least_fraction == 1.0:
        raise ValueError("plateau_evaluations with plateau_least_fraction 1 would never lower anything; drop one")
    for name in sorted(changed & {"descriptors", "classified_descriptor"}):
        if params.head != "cgd":
            raise ValueError(f"{name} has no effect with head {params.head!r}: it must be 'cgd'; drop it")
    if params.whitening != "none" and params.head not in ("direct", "direct_normalize", "gem", "cgd"):
        raise ValueError(f"whitening needs a linear layer on pooled features, which head {params.head!r} has not")
    if params.whitening != "none" and params.pooling == "flatten" and params.head.startswith("direct"):
        raise ValueError("whitening with pooling 'flatten' would need a matrix as large as the feature map squared")
    if params.whitening in ("start", "both") and params.warm_start_from is None:
        raise ValueError(f"whitening {params.whitening!r} begins with a trained backbone: it needs warm_start_from")
    if params.whitening in ("end", "both") and params.early_stopping_evaluations:
        raise ValueError(
            f"whitening {params.whitening!r} is of the last step, which early stopping does not know in advance; drop "
            f"early_stopping_evaluations"
        )
    if params.frozen_stages and params.warm_start_from is None:
        raise ValueError("frozen_stages keeps pretrained stages as they are: it needs warm_start_from")
    if params.augmentation_pool_count[1] > len(params.augmentation_pool) > 0:
        raise ValueError(
            f"augmentation_pool_count {params.augmentation_pool_count}: augmentation_pool has only "
            f"{len(params.augmentation_pool)}; set it to [0, {len(params.augmentation_pool)}], or add others"
        )
    if "random_crop" in params.augmentation_pool:
        raise ValueError("augmentation_pool cannot have random_crop, which every image needs; put it in augmentation")
    if params.learning_rate_schedule == "step" and not params.decay_steps:
        raise ValueError("learning_rate_schedule 'step' needs decay_steps, such as [10000, 20000]")
    if params.decay_start_step and params.learning_rate_schedule == "step":
        raise ValueError("decay_start_step has no effect with learning_rate_schedule 'step'; decay_steps say when")
    if params.decay_steps and params.learning_rate_schedule != "step":
        raise ValueError(
            f"decay_steps have no effect with learning_rate_schedule {params.learning_rate_schedule!r}; "
            f"set it to 'step', or drop them"
        )
