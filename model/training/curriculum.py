"""Planned changes during a training: the triplet strategy, and whether the backbone is frozen."""

from typing import NamedTuple

from model.configuration.params import Params


class Phase(NamedTuple):
    """The settings of a range of steps.

    Attributes:
        strategy: the triplet strategy.
        frozen: whether the backbone is frozen.
    """

    strategy: str
    frozen: bool

    def news(self, before: "Phase | None", params: Params) -> list[str]:
        """Log lines about changes since the phase before (None: a start); none in a training of one phase."""
        words = []
        if len(params.curriculum) > 1 and (before is None or self.strategy != before.strategy):
            words.append(f"triplet_strategy {self.strategy}")
        if self.frozen and before is None:
            words.append(f"the backbone is frozen until step {params.freeze_backbone_steps}")
        if before is not None and before.frozen and not self.frozen:
            words.append("the backbone is no longer frozen")
        return words


def phase_at(params: Params, step: int) -> Phase:
    """The phase of step 0, 1, ...: a pure function, as resuming requires."""
    strategy = [name for first, name in params.curriculum if first <= step][-1]
    return Phase(strategy, step < params.freeze_backbone_steps)


def late_beginnings(params: Params, total: int) -> list[str]:
    """Log lines about planned changes that a training of `total` steps never reaches."""
    plans = [(f"triplet_strategy {name} begins at step {first}", first) for first, name in params.curriculum]
    for name in ("freeze_backbone_steps", "decay_start_step", "warmup_steps"):
        plans.append((f"{name} is {getattr(params, name)}", getattr(params, name)))
    return [f"{plan}, but training ends at step {total}" for plan, step in plans if step >= total]
