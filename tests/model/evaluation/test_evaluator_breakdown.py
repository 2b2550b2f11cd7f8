"""Intervals and breakdowns in results.jsonl, and in the output of evaluate.py."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.commands import command

from dataset.formats.episodes import attributes_path, write_attributes
from model.evaluation.report import breakdown_text, intervals_text
from model.run.run_folder import RunFolder
from runtime.json_files import read_json_lines

ANY: dict[str, str] = {}  # data set and metric


def test_evaluate_prints_intervals_and_breakdown(trained: Path, own_dataset: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(trained, tmp_path / "run"))
    columns = {"snippet": list("aabbcc"), "category": ["n02"] * 4 + ["n01"] * 2, "gap": [1, 2, 3, 1, 1, 1]}
    write_attributes(attributes_path(own_dataset / "episodes" / "val_eval.csv"), columns)
    line = ("evaluate.py", "--model_dir", run.folder, "--set", f"dataset={own_dataset}", "--once", "--breakdown")
    done = command(*line)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line["set"]: line for line in read_json_lines(run.results)}
    keys = {"step", "set", "checkpoint", "metrics", "definitions", "counts"}
    assert set(lines["test"]) == set(lines["query_gallery"]) == keys
    assert set(lines["val_eval"]) == keys | {"intervals", "snippet_intervals", "breakdown"}
    assert lines["val_eval"]["counts"]["snippets"] == 3
    assert "1000 resamples of snippets" in lines["val_eval"]["definitions"]["snippet_intervals"]
    assert "\nval_eval at step 4 (the last): general " in done.stdout
    assert "(95%, snippets resampled)\n" in done.stdout
    tables = done.stdout[done.stdout.index("val_eval at step 4 (the last), by category") :]
    rows = [row.split()[:3] for row in tables.splitlines() if "resampled" not in row and row]
    header = ["group", "episodes", "snippets"]
    categories, gaps = [["n01", "2", "1"], ["n02", "4", "2"]], [["1", "4", "3"], ["2", "1", "1"], ["3", "1", "1"]]
    assert rows == [header, *categories, header, *gaps, header, ["3", "6", "3"]]

    again = command(*line)  # with nothing left to evaluate
    assert "evaluated already" in again.stdout
    assert again.stdout.endswith(tables)


def results(folder: Path, *lines: dict) -> RunFolder:
    """A run with these lines of results; the accuracy is step / 1000."""
    run = RunFolder(folder)
    for line in lines:
        line.setdefault("metrics", dict.fromkeys(("general_accuracy", "easy_accuracy"), line["step"] / 1000))
    texts = [json.dumps({"set": "a", "checkpoint": f"ckpt-{line['step']}"} | line) + "\n" for line in lines]
    run.results.write_text("".join(texts))
    return run


def test_the_best_step_is_shown_else_the_last(tmp_path: Path) -> None:
    new = {"intervals": {"general_accuracy": [0.125, 0.25], "easy_accuracy": [0.5, 1]}}
    snippets = {"snippet_intervals": {"general_accuracy": [0, 0.75], "easy_accuracy": [0.25, 1]}}
    run = results(
        tmp_path,
        {"step": 200, "counts": {"episodes": 90}} | new,
        {"step": 300, "counts": {"episodes": 90}} | new,
        {"step": 300, "set": "b", "counts": {"episodes": 90, "snippets": 7}} | new | snippets,
        {"step": 300, "set": "c", "metrics": {"map": 0.5}},
    )
    last_b = "b at step 300 (the last): general 30.0 [0.0, 75.0], easy 30.0 [25.0, 100.0] (95%, 7 snippets resampled)"
    episodes = "[12.5, 25.0], easy {0} [50.0, 100.0] (95%, 90 episodes resampled)"
    last_a = "a at step 300 (the last): general 30.0 " + episodes.format("30.0")
    assert intervals_text(run, ANY).splitlines() == [last_a, last_b]
    run.best_json.write_text(json.dumps({"step": 200}))
    best_a = "a at step 200 (the best): general 20.0 " + episodes.format("20.0")
    assert intervals_text(run, ANY).splitlines() == [best_a, last_b]


def test_results_of_an_older_version_without_breakdown(tmp_path: Path) -> None:
    run = results(tmp_path, {"step": 200}, {"step": 200, "set": "b"})
    assert intervals_text(run, ANY) == ""
    text = breakdown_text(run, ANY)
    assert "\n" not in text
    for part in ("a at step 200 (the last), b at step 200 (the last)", str(run.results), "run evaluate.py again"):
        assert part in text


@pytest.mark.parametrize("lines", [[], [{"step": 1, "set": "test", "metrics": {"map": 0.5}}]])
def test_no_episodes(lines: list[dict], tmp_path: Path) -> None:
    run = results(tmp_path, *lines)
    assert intervals_text(run, ANY) == ""
    assert breakdown_text(run, ANY) == "no breakdown: no evaluated set has episodes"


def test_joined_groups_show_their_number(tmp_path: Path) -> None:
    values = {"episodes": 7, "general_accuracy": 0.5, "easy_accuracy": 0.75}
    values["intervals"] = {"general_accuracy": [0.4, 0.6], "easy_accuracy": [0.7, 0.8]}
    groups = {"x": values, "(others)": values | {"groups": 23}}
    run = results(tmp_path, {"step": 5, "intervals": values["intervals"], "breakdown": {"thing": groups}})
    assert breakdown_text(run, ANY).splitlines() == [
        "a at step 5 (the last), by thing, % (95%, episodes resampled)",
        "    group  episodes            general               easy",
        "        x         7  50.0 [40.0, 60.0]  75.0 [70.0, 80.0]",
        "23 others         7  50.0 [40.0, 60.0]  75.0 [70.0, 80.0]",
    ]
