"""The plan of a search: checked before anything starts, and recorded in search.json."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.formats.prepared import open_prepared
from model.configuration.loading import check_params, load_params
from model.configuration.params import Params
from model.evaluation.best import best_metric
from model.evaluation.sets import load_evaluation_sets
from model.searching.proposals import KnownProposals, OptunaProposals, Proposals, draw_random, list_grid
from model.searching.space import Choices, Dimension, parse_space
from model.training.supervisor import Watched
from runtime.errors import UserError
from runtime.json_files import read_json, write_json

METHODS = ("grid", "random", "optuna")
TRIALS = 10  # default for random draws and Optuna


@dataclass(frozen=True)
class Plan:
    """The plan of a search.

    Attributes:
        parent: the folder of the search.
        source: the parameter file.
        params: the content of that file.
        sets: the values of `--set`.
        method: one of METHODS.
        trials: number of trials; None for all combinations.
        seeds: runs per trial.
        parallel: runs at once.
    """

    parent: Path
    source: Path
    params: dict[str, Any]
    sets: list[str]
    method: str
    trials: int | None
    seeds: int
    parallel: int

    @property
    def record(self) -> Path:
        return self.parent / "search.json"

    @property
    def space(self) -> list[Dimension]:
        return parse_space(self.sets)

    @property
    def searched(self) -> list[str]:
        """The parameters that differ between trials."""
        return [each.key for each in self.space if not isinstance(each, Choices) or len(each.values) > 1]

    @property
    def seed_values(self) -> list[int]:
        """The values of the parameter `seed` in the runs of a trial."""
        first = self.params.get("seed", 0)
        return list(range(first, first + self.seeds))

    def propose(self) -> Proposals:
        """The source of the trials' values; raises a UserError if Optuna is needed and not installed."""
        seed = self.params.get("seed", 0)
        if self.method == "optuna":
            lag = -(-self.parallel // self.seeds)  # enough trials at once to keep all devices busy
            return OptunaProposals(self.space, self.trials or TRIALS, seed, lag)
        if self.method == "grid":
            return KnownProposals(list_grid(self.space))
        return KnownProposals(draw_random(self.space, self.trials or TRIALS, seed))


def make_plan(
    parent: Path,
    source: Path | None,
    sets: list[str],
    method: str | None,
    trials: int | None,
    seeds: int,
    parallel: int,
) -> Plan:
    """The plan for the command line's options.

    Raises:
        UserError: when the options contradict each other.
    """
    source = source or parent / "params.json"
    load_params(source)  # reports errors of the file itself
    space = parse_space(sets)
    if method is None:
        method = "grid" if trials is None and all(isinstance(each, Choices) for each in space) else "random"
    if method == "grid" and trials is not None:
        raise UserError(
            "--trials is only for random draws and Optuna, but --method grid tries all combinations; drop one"
        )
    if method != "grid" and trials is None:
        trials = TRIALS
    for each in space:
        if each.key == "seed":
            raise UserError("--set seed: seeds are not searched; use --seeds N, for mean and deviation over N seeds")
        if each.key == "best_metric" and len(each.checked()) > 1:
            raise UserError("--set best_metric: all trials are compared by the same metric; give one value")
    return Plan(parent, source, read_json(source), sets, method, trials, seeds, parallel)


def check_trials(plan: Plan, proposals: Proposals) -> Watched:
    """Checks the parameters of all known trials, and their data sets; returns the metric by which trials are compared.

    Raises:
        UserError: for the first invalid combination, incomplete data sets, or trials whose best checkpoints are chosen
            by different metrics.
    """
    found: dict[tuple[Any, ...], Watched] = {}
    for values in _samples(plan, proposals):
        words = "".join(f" --set {key}={value}" for key, value in values.items())
        params = check_params(plan.params | values, source=f"{plan.source}{words and ' with'}{words}")
        if params.eval_run_once:
            raise UserError(
                f"{plan.source}: eval_run_once is true, but a search evaluates every checkpoint; set it to false"
            )
        data = (params.dataset, tuple(params.eval_sets or ()))
        if data not in found:
            found[data] = _watched(params)
    one, *others = dict.fromkeys(found.values())
    if others:
        raise UserError(
            f"trials would be compared by different metrics, {one} and {others[0]}; choose one with "
            "--set best_metric=<set>/<metric>"
        )
    return one


def _samples(plan: Plan, proposals: Proposals) -> Iterator[dict[str, Any]]:
    """Combinations to check: the known trials, and each choice and each end of a range at least once."""
    first = {each.key: each.checked()[0] for each in plan.space}
    yield first
    for each in plan.space:
        for value in each.checked()[1:]:
            yield first | {each.key: value}
    if isinstance(proposals, KnownProposals):
        yield from proposals.values


def _watched(params: Params) -> Watched:
    sets = load_evaluation_sets(open_prepared(params.dataset), params)
    return Watched(*best_metric(params.best_metric, {each.name: each.metrics for each in sets}))


def record_plan(plan: Plan) -> None:
    """Writes search.json. An existing one may have fewer trials, seeds, or choices of a grid, but no other difference.

    Raises:
        UserError: when it belongs to another search; says what differs.
    """
    now = {
        "params": plan.params,
        "set": dict(text.split("=", 1) for text in plan.sets),
        "method": plan.method,
        "trials": plan.trials,
        "seeds": plan.seeds,
        "parallel": plan.parallel if plan.method == "optuna" else None,  # Optuna's proposals depend on it
    }
    before = read_json(plan.record) if plan.record.exists() else now
    if not isinstance(before, dict) or before.keys() != now.keys():
        raise UserError(
            f"{plan.record}: not written by search_hyperparams.py; remove it, or choose another --parent_dir"
        )
    if difference := _difference(before, now):
        raise UserError(
            f"{plan.record} belongs to another search: {difference}; use the same options, or another --parent_dir"
        )
    write_json(plan.record, now)


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Why the recorded search cannot be resumed with the new options, in words; None if it can."""
    method = now["method"]
    for key in ("method", "parallel", "trials", "seeds"):
        was, is_now = before[key], now[key]
        grows = key in ("trials", "seeds") and was and is_now and is_now > was
        if was != is_now and not (grows and (key, method) != ("seeds", "optuna")):
            return f"--{key} was {_shown(was)}, not {_shown(is_now)}"
    for name, title in (("set", "--set "), ("params", "")):
        for key in dict.fromkeys([*before[name], *now[name]]):
            was, is_now = before[name].get(key), now[name].get(key)
            grows = title and method == "grid" and was and is_now and _adds(key, was, is_now)
            if was != is_now and not grows:
                return f"{title}{key} was {_shown(was)}, not {_shown(is_now)}"
    return None


def _adds(key: str, before: str, now: str) -> bool:
    """Whether choices were only added, to at least two, so the folders' names stay the same."""
    (old,), (new,) = parse_space([f"{key}={before}"]), parse_space([f"{key}={now}"])
    return len(old.checked()) > 1 and all(value in new.checked() for value in old.checked())


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)
