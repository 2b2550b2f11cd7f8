"""The values of the trials: all combinations, random draws, or Optuna's proposals."""

import itertools
import json
import math
import random
from typing import Any, Protocol

from model.searching.space import Choices, Dimension
from runtime.errors import UserError

_REPEATS = 1000  # draws in a row without a new combination, after which the space counts as exhausted


class Proposals(Protocol):
    """A source of trials.

    Attributes:
        count: number of trials.
        lag: `ask` for trial i is called after `tell` for all trials up to i - lag, in order.
    """

    count: int
    lag: int

    def ask(self) -> dict[str, Any]:
        """The values of the next trial."""

    def tell(self, value: float | None) -> None:
        """Takes the result of the next trial, in the order of `ask`; None if the trial failed."""


class KnownProposals:
    """Trials that do not depend on results."""

    def __init__(self, values: list[dict[str, Any]]) -> None:
        self.values = values
        self.count = self.lag = len(values)
        self._rest = iter(values)

    def ask(self) -> dict[str, Any]:
        return next(self._rest)

    def tell(self, value: float | None) -> None:
        """Does nothing."""


def list_grid(space: list[Dimension]) -> list[dict[str, Any]]:
    """All combinations; the last dimension changes fastest.

    Raises:
        UserError: when one of the dimensions is a range.
    """
    for each in space:
        if not isinstance(each, Choices):
            raise UserError(f"--method grid: {each.key} is a range; list its values, or draw at random with --trials N")
    values = [each.values for each in space if isinstance(each, Choices)]
    keys = [each.key for each in space]
    return [dict(zip(keys, chosen, strict=True)) for chosen in itertools.product(*values)]


def draw_random(space: list[Dimension], trials: int, seed: int) -> list[dict[str, Any]]:
    """Different random combinations; fewer if the space has fewer. The first n do not depend on `trials`."""
    found: dict[str, dict[str, Any]] = {}
    attempt = last = 0
    while len(found) < trials and attempt - last <= _REPEATS:
        # random() gives the same numbers in every version of Python.
        draw = random.Random(f"{seed} {attempt}")
        values = {each.key: each.at(draw.random()) for each in space}
        if found.setdefault(json.dumps(values), values) is values:
            last = attempt
        attempt += 1
    return list(found.values())


class OptunaProposals:
    """Optuna's TPE. With `ask` and `tell` in a fixed order it proposes the same again, so no database is needed."""

    def __init__(self, space: list[Dimension], trials: int, seed: int, lag: int) -> None:
        """
        Raises:
            UserError: when Optuna is not installed.
        """
        try:
            import optuna
        except ImportError as error:
            raise UserError("--method optuna needs Optuna: pip install 'optuna>=5,<6'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self.count, self.lag = trials, lag
        self._space = space
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: list[Any] = []
        self._failed = optuna.trial.TrialState.FAIL

    def ask(self) -> dict[str, Any]:
        trial = self._study.ask()
        self._asked.append(trial)
        values: dict[str, Any] = {}
        for each in self._space:
            if isinstance(each, Choices):  # as JSON, because Optuna does not take lists
                values[each.key] = json.loads(trial.suggest_categorical(each.key, [json.dumps(v) for v in each.values]))
            else:
                suggest: Any = trial.suggest_int if each.whole else trial.suggest_float
                values[each.key] = each.shorten(suggest(each.key, each.low, each.high, log=each.log))
        return values

    def tell(self, value: float | None) -> None:
        trial = self._asked.pop(0)
        if value is None or not math.isfinite(value):
            self._study.tell(trial, state=self._failed)
        else:
            self._study.tell(trial, value)
