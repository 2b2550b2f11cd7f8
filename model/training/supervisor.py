"""Lowers the learning rate, or ends training early, according to the evaluator's results."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from model.configuration.params import Params
from model.run.results import origin_of, results_with
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import append_json_line, drop_json_lines_after, read_json_lines
from runtime.log import Log

LEAST_FACTOR = 0.001  # of the schedule
_PATIENCE = 3  # checkpoints without an evaluation before a warning


class Evaluation(NamedTuple):
    """The watched metric of a checkpoint."""

    step: int
    value: float


class Standing(NamedTuple):
    """The best evaluation, and those after it.

    Attributes:
        best: the best evaluation (the first of equal ones); None before the first.
        later: evaluations of later checkpoints, in order of step.
    """

    best: Evaluation | None
    later: list[Evaluation]


def standing_of(evaluations: Iterable[Evaluation]) -> Standing:
    """The standing after these evaluations, given in any order."""
    best: Evaluation | None = None
    later: list[Evaluation] = []
    for each in sorted(evaluations):
        if best is None or each.value > best.value:
            best, later = each, []
        else:
            later.append(each)
    return Standing(best, later)


class Plateau:
    """The factor of the learning rate, which falls when evaluations stop getting better.

    It is lowered when the last `plateau_evaluations` evaluations were not better. Only checkpoints after the best one
    and after the last reduction count: earlier ones learned with the higher rate, even if they are evaluated late.

    Attributes:
        factor: factor of the learning rate.
    """

    def __init__(self, file: Path, params: Params, start: int) -> None:
        """Reads the reductions in `file` and drops those after step `start`.

        Raises:
            UserError: for a line that is not a reduction.
        """
        self._file, self._params = file, params
        for number, line in enumerate(read_json_lines(file), start=1):
            if not _is_reduction(line):
                raise UserError(f"{file}: line {number} is not a reduction of the learning rate; remove it")
        drop_json_lines_after(file, start)
        *_, last = {"factor": 1.0, "step": None}, *read_json_lines(file)
        self.factor: float = last["factor"]
        self._since: int | None = last["step"]

    def __str__(self) -> str:
        """The present factor for the log; empty before the first reduction."""
        return (
            "" if self._since is None else f"learning rate at {self.factor:g} of its schedule since step {self._since}"
        )

    def update(self, step: int, standing: Standing) -> bool:
        """Lowers the factor from step `step` on and records it, if it is due; returns whether it did."""
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


class Watched(NamedTuple):
    """The metric that decides: `best_metric`, with `auto` resolved."""

    set: str
    metric: str

    def __str__(self) -> str:
        return f"{self.set}/{self.metric}"


class EvaluationWatch:
    """The watched metric of every evaluated checkpoint; reads results.jsonl only after it changed."""

    def __init__(self, run: RunFolder, params: Params, watched: Watched) -> None:
        self._run, self._origin, self._watched = run, origin_of(params), watched
        self._state: tuple[int, int, int] | None = None  # of the file at the last read
        self.seen: list[Evaluation] = []  # at the last read

    def news(self) -> list[Evaluation] | None:
        """All evaluations if they changed since the last call, else None.

        Raises:
            UserError: when results.jsonl is damaged; only once until it changes again.
        """
        try:
            stat = self._run.results.stat()
        except FileNotFoundError:
            return None
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if state == self._state:
            return None
        self._state = state
        name, metric = self._watched
        lines = [line for line in results_with(self._run, self._origin) if line["set"] == name]
        values = {line["step"]: line["metrics"].get(metric) for line in lines}
        found = [Evaluation(step, value) for step, value in values.items() if _is_number(value)]
        if found == self.seen:
            return None
        self.seen = found
        return found


class Supervisor:
    """Acts on the evaluations of a training as soon as it sees them; never waits for one."""

    def __init__(self, run: RunFolder, params: Params, watched: Watched | None, start: int, log: Log) -> None:
        """Args:
        run: the run.
        params: its parameters.
        watched: the metric; None without evaluation sets.
        start: the number of steps done.
        log: the log of the training.
        """
        self._params, self._log, self._watched = params, log, watched
        self._plateau = Plateau(run.plateau, params, start)
        asked = params.plateau_evaluations or params.early_stopping_evaluations
        self._watch = EvaluationWatch(run, params, watched) if asked and watched else None
        self._silent: int | None = (
            0  # checkpoints without an evaluation; None after the first one, or after the warning
        )
        if self._watch:
            log.line(f"watching {watched} in the results of evaluate.py")
        if str(self._plateau):
            log.line(str(self._plateau))

    @property
    def factor(self) -> float:
        """Factor of the learning rate."""
        return self._plateau.factor

    def look(self, step: int) -> str | None:
        """Reads new results before step `step`; returns the reason if training must end."""
        if self._watch is None:
            return None
        try:
            evaluations = self._watch.news()
        except UserError as error:  # a damaged line does not end a training of hours
            self._log.line(f"warning: {error}; until then evaluations are ignored")
            return None
        if not evaluations:
            return None
        self._silent = None
        standing = standing_of(evaluations)
        reason = reason_to_stop(self._params, str(self._watched), standing)
        if reason is None and standing.best and self._plateau.update(step, standing):
            self._log.line(
                f"step {step}: plateau: {self._watched} not above {standing.best.value:.4g} since "
                f"ckpt-{standing.best.step}; {self._plateau}"
            )
        return reason

    def ended(self) -> None:
        """Called after the last step: logs how many evaluations were seen; later ones change nothing."""
        if self._watch is not None:
            seen = [each.step for each in self._watch.seen]
            last = f"; the last one is of ckpt-{max(seen)}" if seen else ""
            self._log.line(f"evaluations of {self._watched} seen during training: {len(seen)}{last}")

    def checkpoint_saved(self) -> None:
        """Called for every checkpoint: warns if no evaluator seems to run."""
        if self._watch is None or self._silent is None:
            return
        self._silent += 1
        if self._silent == _PATIENCE:
            self._silent = None
            self._log.line(f"warning: no evaluation of {self._watched} yet; start evaluate.py alongside")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def reason_to_stop(params: Params, metric: str, standing: Standing) -> str | None:
    """The reason for early stopping; None if training should continue."""
    wanted, best = params.early_stopping_evaluations, standing.best
    if best is None or not wanted or len(standing.later) < wanted:
        return None
    return f"in the last {len(standing.later)} evaluations {metric} was not above {best.value:.4g} of ckpt-{best.step}"
