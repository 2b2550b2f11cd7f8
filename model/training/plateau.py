"""The learning rate on a plateau: which evaluation was the best, what came after it, and what follows from that."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from model.configuration.params import Params
from runtime.errors import UserError
from runtime.json_files import append_json_line, drop_json_lines_after, read_json_lines

LEAST_FACTOR = 0.001  # of what the schedule gives


class Evaluation(NamedTuple):
    """The watched figure of a checkpoint."""

    step: int
    value: float


class Standing(NamedTuple):
    """Where a training stands.

    Attributes:
        best: the last evaluation that was better than all before it; None before the first.
        later: the evaluations of later checkpoints, none of them better, in order of step.
    """

    best: Evaluation | None
    later: list[Evaluation]


def standing_of(evaluations: Iterable[Evaluation]) -> Standing:
    """Goes through the evaluations in order of step, in whatever order they came."""
    best: Evaluation | None = None
    later: list[Evaluation] = []
    for each in sorted(evaluations):
        if best is None or each.value > best.value:
            best, later = each, []
        else:
            later.append(each)
    return Standing(best, later)


class Plateau:
    """The factor of the learning rate, lowered whenever evaluations stop getting better.

    It is lowered when the last `plateau_evaluations` evaluations brought nothing better. They count from the best one
    on, or from the step of the last reduction, whichever is later: what was saved up to that step was learned with the
    higher rate, and says nothing about the lower one, however late it is evaluated.

    Attributes:
        factor: what the learning rate is multiplied by.
    """

    def __init__(self, file: Path, params: Params, start: int) -> None:
        """Takes up the reductions that `file` tells of; those beyond step `start` are dropped.

        Raises:
            UserError: for a line of another form.
        """
        self._file, self._params = file, params
        for number, line in enumerate(read_json_lines(file), start=1):
            if not _is_reduction(line):
                raise UserError(f"{file}: line {number} is no reduction of the learning rate; remove it")
        drop_json_lines_after(file, start)
        *_, last = {"factor": 1.0, "step": None}, *read_json_lines(file)
        self.factor: float = last["factor"]
        self._since: int | None = last["step"]

    def __str__(self) -> str:
        """What is in force, in words; empty before the first reduction."""
        return (
            "" if self._since is None else f"learning rate at {self.factor:g} of its schedule since step {self._since}"
        )

    def update(self, step: int, standing: Standing) -> bool:
        """Lowers the factor from step number `step` on, and writes that down, if it is time; says whether it did."""
        p, best = self._params, standing.best
        counted = [each for each in standing.later if self._since is None or each.step > self._since]
        if best is None or not p.plateau_evaluations or len(counted) < p.plateau_evaluations:
            return False
        if self.factor <= LEAST_FACTOR:
            return False
        self.factor, self._since = max(self.factor * p.plateau_factor, LEAST_FACTOR), step
        line = {"step": step, "factor": self.factor, "best_step": best.step, "best": best.value}
        append_json_line(self._file, line | {"last_evaluated_step": counted[-1].step})
        return True


def _is_reduction(line: object) -> bool:
    if not isinstance(line, dict):
        return False
    step, factor = line.get("step"), line.get("factor")
    return isinstance(step, int) and isinstance(factor, int | float) and 0 < factor <= 1
