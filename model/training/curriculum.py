"""What changes in the course of a training by plan: how triplets are chosen, and whether the backbone learns."""

from typing import NamedTuple

from model.configuration.params import Params


class Phase(NamedTuple):
    """What is the same for a stretch of steps.

    Attributes:
        strategy: how triplets are chosen.
        frozen: the backbone stays as it is.
    """

    strategy: str
    frozen: bool

    def news(self, before: "Phase | None", params: Params) -> list[str]:
        """What is new since the phase before (None: a start), in words; nothing in a training of one phase."""
        words = []
        if len(params.curriculum) > 1 and (before is None or self.strategy != before.strategy):
            words.append(f"triplet_strategy {self.strategy}")
        if self.frozen and before is None:
            words.append(f"the backbone is frozen until step {params.freeze_backbone_steps}")
        if before is not None and before.frozen and not self.frozen:
            words.append("the backbone learns too")
        return words


def phase_at(params: Params, step: int) -> Phase:
    """The phase of step 0, 1, ...: a pure function of it, so that resuming needs nothing else."""
    strategy = [name for first, name in params.curriculum if first <= step][-1]
    return Phase(strategy, step < params.freeze_backbone_steps)


def late_beginnings(params: Params, total: int) -> list[str]:
    """What the parameters plan for steps that a training of `total` steps does not have, in words."""
    plans = [(f"triplet_strategy {name} begins at step {first}", first) for first, name in params.curriculum]
    for name in ("freeze_backbone_steps", "decay_start_step", "warmup_steps"):
        plans.append((f"{name} is {getattr(params, name)}", getattr(params, name)))
    return [f"{plan}, but training ends at step {total}" for plan, step in plans if step >= total]
