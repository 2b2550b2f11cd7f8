"""Results as written by an evaluator, and the parameters of their run."""

from pathlib import Path

from model.configuration.loading import check_params
from model.configuration.params import Params
from model.run.results import origin_of
from model.run.run_folder import RunFolder
from runtime.json_files import append_json_line


def params_of(**values: object) -> Params:
    """Parameters of a run on the data set that `result` names."""
    return check_params({"dataset": "some data"} | values, "test")


def result(step: int, value: object, name: str = "val_eval", **definitions: str) -> dict:
    """A line of results.jsonl."""
    origin = {"dataset": "some data", "metric": "euclidean"} | definitions
    metrics = {"general_accuracy": value, "easy_accuracy": 0.5}
    return {"step": step, "set": name, "checkpoint": f"ckpt-{step}", "metrics": metrics, "definitions": origin}


def write_results(run: Path, values: dict[int, float]) -> None:
    """Writes the files of an evaluator."""
    params = RunFolder(run).load_params()
    for step, value in values.items():
        append_json_line(run / "results.jsonl", result(step, value, **origin_of(params)))
