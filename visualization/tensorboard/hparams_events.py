"""Writes event files for TensorBoard's HPARAMS tab, without TensorFlow: parameters and final metrics of runs."""

import json
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams  # not its `api`, which loads TensorFlow
from tensorboard.summary.writer.record_writer import RecordWriter

from model.configuration.params import Params
from model.run.best_json import read_best
from model.run.results import read_results
from model.run.run_folder import RunFolder
from model.searching.trials import main_metrics, read_outcome
from runtime.errors import UserError
from runtime.files import replace_file

EVENTS = "events.out.tfevents.0.hparams"  # TensorBoard reads files with "tfevents" in the name
_SECTION = "hparams/"  # of the tags: otherwise each evaluation set has a section among the curves
# Parameters shown even if all runs have the same value.
_ALWAYS = ("dataset", "model_type", "head", "embedding_size", "triplet_strategy", "margin", "metric", "learning_rate")


class _Differing:
    """Marks a column whose values differ; TensorBoard shows such columns first. Its own domains do not mark it."""

    def update_hparam_info(self, info: Any) -> None:
        super().update_hparam_info(info)  # type: ignore[misc]
        info.differs = True


class _DifferentTexts(_Differing, hparams.Discrete):
    pass


class _DifferentNumbers(_Differing, hparams.RealInterval):
    pass


def write_hparams(parent: Path) -> list[RunFolder]:
    """Writes an event file into `parent` and each run below it with metrics; returns these runs.

    Event files in folders between are removed: TensorBoard shows the columns of one folder only, and not always of the
    upper one.

    Raises:
        UserError: when there is no run, or a file of a run is broken.
    """
    found = {run: metrics for run in _find_runs(parent) if (metrics := _final_metrics(run))}
    if not found:
        raise UserError(f"{parent}: no run with results below this folder; evaluate.py --model_dir RUN writes results")
    params = {run: _plain_values(run.load_trained_params()) for run in found}
    keys = [
        key
        for key in Params.model_fields
        if key in _ALWAYS or len({json.dumps(values[key]) for values in params.values()}) > 1
    ]
    for key in keys:
        # TensorBoard wants one type in a column: numbers, truth values or texts.
        kinds = {bool if isinstance(values[key], bool) else type(values[key]) for values in params.values()}
        if len(kinds - {int, float}) and len(kinds) > 1:
            for values in params.values():
                values[key] = values[key] if isinstance(values[key], str) else json.dumps(values[key])
    names = dict.fromkeys(name for metrics in found.values() for name in metrics)
    columns = [hparams.HParam(key, _domain([values[key] for values in params.values()])) for key in keys]
    _write_events(
        parent,
        [hparams.hparams_config_pb(columns, [hparams.Metric(_SECTION + name, display_name=name) for name in names])],
    )
    for run, metrics in found.items():
        values = {key: params[run][key] for key in keys}
        name = run.folder.relative_to(parent).as_posix()
        session = hparams.hparams_pb(values, trial_id=name, start_time_secs=run.results.stat().st_mtime)
        scalars = [Summary.Value(tag=_SECTION + name, simple_value=value) for name, value in metrics.items()]
        _write_events(run.folder, [session, Summary(value=scalars)])
    written = {parent, *(run.folder for run in found)}
    for other in [file for file in parent.rglob(EVENTS) if file.parent not in written]:
        other.unlink()
    return list(found)


def _find_runs(parent: Path) -> list[RunFolder]:
    """All folders at or below `parent` with parameters and results."""
    runs = [RunFolder(file.parent) for file in sorted(parent.rglob("results.jsonl"))]
    return [run for run in runs if run.resolved_json.is_file() or run.params_json.is_file()]


def _final_metrics(run: RunFolder) -> dict[str, float]:
    """The main metrics of each set at the best checkpoint, as in a search's table; at the last one if none is best."""
    if outcome := read_outcome(run):
        return outcome.metrics
    if best := read_best(run.folder):
        return main_metrics(best.metrics)
    lines = read_results(run)
    last = max((line["step"] for line in lines), default=None)
    return main_metrics({line["set"]: line["metrics"] for line in lines if line["step"] == last})


def _plain_values(params: Params) -> dict[str, Any]:
    """Numbers, truth values and texts unchanged; all other values as JSON."""
    values = params.model_dump()
    return {
        key: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for key, value in values.items()
    }


def _domain(values: list[Any]) -> hparams.Domain:
    """The type of a column, and the filter that TensorBoard offers for it."""
    differ = len(set(values)) > 1
    if any(isinstance(value, bool | str) for value in values):
        return (_DifferentTexts if differ else hparams.Discrete)(sorted(set(values)))
    return (_DifferentNumbers if differ else hparams.RealInterval)(float(min(values)), float(max(values)))


def _write_events(folder: Path, summaries: list[Summary]) -> None:
    with replace_file(folder / EVENTS, "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(file_version="brain.Event:2").SerializeToString())
        for summary in summaries:
            writer.write(Event(summary=summary).SerializeToString())
