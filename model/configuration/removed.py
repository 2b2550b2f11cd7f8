"""Parameters of earlier versions: what replaces them, and what they mean in the record of an older run."""

from typing import Any

from runtime.errors import UserError

_JITTER = {"brightness_range": 0.2, "contrast_range": 0.2, "saturation_range": 0.2, "hue_range": 0.05}

# Their values now, in every run. A recorded run with another value cannot resume.
_FIXED: dict[str, Any] = {
    "flip_probability": 0.5,
    "adam_epsilon": 1e-7,
    "collapse_steps": 100,
    "plateau_least_fraction": 0.001,
    "least_improvement": 0.0,
    "memory_start_step": 0,
    "embedding_norm_weight": 0.0,
    "eval_memory_gb": 1.0,
    "eval_picture_queries": 8,
    "eval_projector_images": 1000,
}

REMOVED = {
    **{name: f"it is always {value:g} now; remove it" for name, value in _FIXED.items()},
    **dict.fromkeys(_JITTER, "use color_jitter_ranges instead: [brightness, contrast, saturation, hue]"),
    "flip_probability": "it is always 0.5 now; remove it, and for no flips remove horizontal_flip from augmentation",
    "least_improvement": "any higher value counts as better now; remove it",
    "memory_start_step": "the memory starts when warmup_steps are over; remove it, and set warmup_steps",
    "embedding_norm_weight": "remove it, and use a head that normalizes, such as direct_normalize",
    "eval_projector_images": "it is always 1000 now; remove it, and for no projector set eval_pictures to false",
    "freeze_batch_norm": 'use batch_norm instead: "frozen" for true, "train" for false',
}


def refuse_removed(values: dict[str, Any], source: str) -> None:
    """Raises a UserError for the first removed parameter; it says what to do instead."""
    for name in values:
        if name in REMOVED:
            raise UserError(f"{source}: parameter {name!r} was removed: {REMOVED[name]}")


def from_record(values: dict[str, Any], source: str) -> dict[str, Any]:
    """The recorded parameters of a run, those of an earlier version translated to this one.

    Raises:
        UserError: when a removed parameter had another value than the one that is fixed now.
    """
    fixed = dict(_FIXED)
    if values.get("memory_start_step"):  # its default 0 differs from the present rule in the first steps only
        fixed["memory_start_step"] = values.get("warmup_steps")
    refuse_removed({name: value for name, value in values.items() if value != fixed.get(name, value)}, source)
    now = {name: value for name, value in values.items() if name not in REMOVED}
    if _JITTER.keys() & values.keys():
        now["color_jitter_ranges"] = [values.get(name, default) for name, default in _JITTER.items()]
    if "freeze_batch_norm" in values:
        now["batch_norm"] = "frozen" if values["freeze_batch_norm"] else "train"
    return now
