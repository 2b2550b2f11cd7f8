"""The training's eye on its evaluator: reads results.jsonl, and lowers the learning rate or ends the training by it."""

import math
from typing import NamedTuple

from model.configuration.params import Params
from model.run.results import origin_of, results_with
from model.run.run_folder import RunFolder
from model.training.plateau import Evaluation, Plateau, Standing, standing_of
from runtime.errors import UserError
from runtime.log import Log

_PATIENCE = 3  # checkpoints without any news, before the log asks whether there is an evaluator


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
