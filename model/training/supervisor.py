"""The training's eye on its evaluator: reads results.jsonl, and lowers the learning rate or ends the training by it."""

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

LEAST_FACTOR = 0.001  # of what the schedule of the learning rate gives
_PATIENCE = 3  # checkpoints without any news, before the log asks whether there is an evaluator


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


class Watched(NamedTuple):
    """The figure that decides: `best_metric`, as the evaluator understands it."""

    set: str
    metric: str

    def __str__(self) -> str:
        return f"{self.set}/{self.metric}"


class EvaluationWatch:
    """The watched figure of every evaluated checkpoint, read anew only when the file has changed."""

    def __init__(self, run: RunFolder, params: Params, watched: Watched) -> None:
        self._run, self._origin, self._watched = run, origin_of(params), watched
        self._state: tuple[int, int, int] | None = None  # of the file, when it was read last
        self.seen: list[Evaluation] = []  # at the last look

    def news(self) -> list[Evaluation] | None:
        """All evaluations if there are others than at the last look, else None.

        Raises:
            UserError: when results.jsonl is damaged; once, until it changes again.
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
    """Acts on the evaluations of a training. It waits for none: what it does is done when it sees them."""

    def __init__(self, run: RunFolder, params: Params, watched: Watched | None, start: int, log: Log) -> None:
        """Args:
        run: the run.
        params: its parameters.
        watched: the figure; None without evaluation sets.
        start: the step that training goes on from.
        log: where it tells what it does.
        """
        self._params, self._log, self._watched = params, log, watched
        self._plateau = Plateau(run.folder / "plateau.jsonl", params, start)
        asked = params.plateau_evaluations or params.early_stopping_evaluations
        self._watch = EvaluationWatch(run, params, watched) if asked and watched else None
        self._silent: int | None = 0  # checkpoints since the start; None once there was news, or a warning
        if self._watch:
            log.line(f"watching {watched}, as evaluate.py finds it")
        if str(self._plateau):
            log.line(str(self._plateau))

    @property
    def factor(self) -> float:
        """What the learning rate is multiplied by."""
        return self._plateau.factor

    def look(self, step: int) -> str | None:
        """Looks before step number `step`; gives the reason if training is to end."""
        if self._watch is None:
            return None
        try:
            evaluations = self._watch.news()
        except UserError as error:  # a training of hours does not end by a line that somebody spoiled
            self._log.line(f"warning: {error}; until then nothing is learned from the evaluations")
            return None
        if not evaluations:
            return None
        self._silent = None
        standing = standing_of(evaluations)
        reason = reason_to_stop(self._params, str(self._watched), standing)
        if reason is None and standing.best and self._plateau.update(step, standing):
            self._log.line(
                f"step {step}: plateau: no better {self._watched} since {standing.best.value:.4g} of "
                f"ckpt-{standing.best.step}; {self._plateau}"
            )
        return reason

    def ended(self) -> None:
        """Called after the last step: says how much of the evaluation was seen, as what comes later changes nothing."""
        if self._watch is not None:
            seen = [each.step for each in self._watch.seen]
            last = f"; the last was of ckpt-{max(seen)}" if seen else ""
            self._log.line(f"evaluations of {self._watched} that the training saw: {len(seen)}{last}")

    def checkpoint_saved(self) -> None:
        """Called for every checkpoint: nobody may be evaluating them."""
        if self._watch is None or self._silent is None:
            return
        self._silent += 1
        if self._silent == _PATIENCE:
            self._silent = None
            self._log.line(f"warning: no evaluation yet of {self._watched}; is evaluate.py running?")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def reason_to_stop(params: Params, figure: str, standing: Standing) -> str | None:
    """Why training should end, in words: so many evaluations in a row were not better; None if it should not."""
    wanted, best = params.early_stopping_evaluations, standing.best
    if best is None or not wanted or len(standing.later) < wanted:
        return None
    return (
        f"the last {len(standing.later)} evaluations brought no better {figure} than {best.value:.4g} of "
        f"ckpt-{best.step}"
    )
