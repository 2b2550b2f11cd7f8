"""Trials and their run folders: a trial is a combination of values, trained once per seed."""

import hashlib
import json
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dataset.formats.prepared import open_prepared
from model.evaluation.sets import find_evaluation_sets, load_kinds
from model.run.best_json import read_best
from model.run.checkpoint_files import list_checkpoints
from model.run.results import evaluated, origin_of, results_with
from model.run.run_folder import RunFolder, read_done
from runtime.errors import UserError
from runtime.files import replace_file
from runtime.json_files import read_json, write_json

_LONGEST = 100  # characters of a name


class Outcome(NamedTuple):
    """The result of a run: the metrics of its best checkpoint.

    Attributes:
        step: the checkpoint's step.
        value: the metric that ranks the trials.
        metrics: the main metrics of all sets, as `<set>/<metric>`.
    """

    step: int
    value: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Trial:
    """A combination of values.

    Attributes:
        number: from 1.
        name: the values as text.
        values: of the searched parameters.
        runs: one run folder per seed.
    """

    number: int
    name: str
    values: dict[str, Any]
    runs: list[RunFolder]


def make_trial(number: int, values: dict[str, Any], searched: list[str], parent: Path, seeds: list[int]) -> Trial:
    """A trial with `values` for all `--set`; the `searched` ones differ between trials, and name the folders."""
    shown = {key: values[key] for key in searched}
    name = name_trial(shown)
    runs = [RunFolder(parent / ",".join(filter(None, [name, f"seed={seed}"]))) for seed in seeds]
    return Trial(number, name, shown, runs)


def name_trial(values: dict[str, Any]) -> str:
    """A name such as `margin=0.2,learning_rate=1e-05`. Unsafe characters become a hyphen, and a hash is appended."""
    words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    text = ",".join(f"{key}={word}" for key, word in words.items())
    safe = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", text)
    if safe == text and len(text) <= _LONGEST:
        return text
    return f"{safe[:_LONGEST]}-{hashlib.sha1(json.dumps(values).encode()).hexdigest()[:6]}"


def prepare_run(run: RunFolder, params: dict[str, Any]) -> None:
    """Writes the run's params.json; an existing one must be equal.

    Raises:
        UserError: when it differs.
    """
    if not run.params_json.exists():
        write_json(run.params_json, params)
    elif read_json(run.params_json) != params:
        raise UserError(f"{run.params_json} exists and has other parameters; choose another --parent_dir, or remove it")


def is_finished(run: RunFolder) -> bool:
    """Whether training is complete, and every kept checkpoint is evaluated on every set."""
    if not (run.done.exists() and run.best_json.exists() and run.resolved_json.exists()):
        return False
    params = run.load_trained_params()
    names = params.eval_sets or [each.name for each in find_evaluation_sets(open_prepared(params.dataset).folder)]
    done = evaluated(run, origin_of(params))
    return all((path.name, name) in done for _, path in list_checkpoints(run.checkpoints) for name in names)


def read_outcome(run: RunFolder) -> Outcome | None:
    """The run's best checkpoint among the regular ones; None before the first is evaluated.

    A checkpoint saved because the training was stopped does not count: it depends on the moment of the stop.
    """
    if not run.resolved_json.exists():
        return None
    best = read_best(run.folder)
    if best is None:
        return None
    params = run.load_trained_params()
    last, _ = read_done(run)
    found: dict[int, dict[str, dict[str, float]]] = {}
    for line in results_with(run, origin_of(params)):
        if line["step"] % params.save_checkpoints_steps == 0 or line["step"] == last:
            found.setdefault(line["step"], {})[line["set"]] = line["metrics"]
    name, metric = best.set, best.metric
    values = {step: sets[name][metric] for step, sets in found.items() if sets.get(name, {}).get(metric) is not None}
    if not values:
        return None
    step = max(values, key=lambda step: (values[step], -step))  # the first of equal ones, as in the evaluator
    return Outcome(step, values[step], main_metrics(found[step]))


def main_metrics(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    """The main metrics of each set: its kind's `MAIN`, and the first group in the evaluator's table."""
    main: dict[str, float] = {}
    for name, of_set in metrics.items():
        kind = next((kind for kind in load_kinds().values() if kind.MAIN in of_set), None)
        if kind is None:
            continue
        _, columns = kind.tables([name])[0]
        first = next(iter(columns.values()))[1]
        main |= {
            f"{name}/{metric}": of_set[metric]
            for metric in dict.fromkeys([kind.MAIN, *first])
            if of_set.get(metric) is not None
        }
    return main


def pruned_file(run: RunFolder) -> Path:
    """The file that marks a pruned run, and says why it was pruned."""
    return run.folder / "PRUNED"


def reason_of(trial: Trial) -> str:
    """Why the first pruned run of a trial was pruned; empty if none was."""
    files = [file for run in trial.runs if (file := pruned_file(run)).exists()]
    return files[0].read_text(encoding="utf-8").strip() if files else ""


def mark_pruned(run: RunFolder, reason: str) -> None:
    with replace_file(pruned_file(run)) as file:
        file.write(f"{reason}\n")


def mean_and_deviation(values: list[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (n - 1); a single value has no deviation."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
