"""The examples of CONTRIBUTING.md: a part of each kind is found by its file's name, and runs with the others."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT, environment
from helpers.tiny import make_run

from model.run.run_folder import RunFolder
from runtime.json_files import read_json, read_json_lines

CODE = ("runtime", "dataset", "model", "visualization", "train.py", "evaluate.py", "embed.py", "visualize.py")
EXAMPLE = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the parts of CONTRIBUTING.md written into it."""
    folder = tmp_path_factory.mktemp("project")
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for name, text in EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text()):
        file = folder / name
        if file.exists():  # a parameter, which goes before the first one
            head, first, rest = file.read_text().partition("    dataset: str")
            text = head + text + first + rest
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folder


def call(project: Path, *words: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, *map(str, words)]
    return subprocess.run(line, cwd=project, capture_output=True, text=True, timeout=300, env=environment())


def test_one_file_each(project, dataset, tmp_path):
    for file in (dataset / "images").rglob("*.jpg"):
        identity = int(file.parent.name.split()[1])
        copy = tmp_path / "raw" / ("train" if identity < 4 else "test") / f"{identity}_{file.name}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    prepared = tmp_path / "prepared"

    def output(*words: object) -> str:
        done = call(project, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = output("-m", "dataset.prepare.labelled", "--root", tmp_path / "raw", "--out", prepared)
    assert "train.csv: 20 images of 4 identities" in said
    with open(prepared / "test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(prepared / "pairs.csv", "w", newline="") as file:
        for a, b in zip(rows, [*rows[1:], rows[0]], strict=True):
            verdict = "same" if a["identity"] == b["identity"] else "other"
            csv.writer(file).writerow((a["path"], b["path"], verdict))
    chosen = {"triplet_strategy": "mean_positive", "model_type": "one_layer", "head": "doubled", "metric": "power"}
    chosen |= {"augmentation": ["negative"], "negative_share": 1.0, "sampling": "in_order", "batch_p": 10}
    run = RunFolder(make_run(tmp_path / "run", prepared, best_metric="pairs/pair_accuracy", **chosen))

    assert "model: one_layer, doubled," in output("train.py", "--model_dir", run.folder)
    losses = [line["loss"] for line in read_json_lines(run.metrics)]
    assert losses[-1] < losses[0]
    assert read_json(run.resolved_json)["triplet_strategy"] == "mean_positive"

    table = output("evaluate.py", "--model_dir", run.folder)
    assert "pairs judged rightly, %" in table
    results = {line["set"]: line for line in read_json_lines(run.results)}
    assert set(results) == {"test", "pairs"}
    assert results["test"]["metrics"]["last_rank"] >= results["test"]["metrics"]["average_rank"]
    assert results["test"]["definitions"]["metric"] == "power"
    assert results["pairs"]["counts"] == {"pairs": len(rows)}
    assert read_json(run.best_json)["metric"] == "pair_accuracy"
    assert (run.eval_events("test") / "projector").is_dir()  # as its kind has pictures
    assert not (run.eval_events("pairs") / "projector").exists()

    csv_file, vectors, out = prepared / "test.csv", tmp_path / "test.h5", tmp_path / "out.json"
    output("embed.py", "--model_dir", run.folder, "--dataset", csv_file, "--filename", vectors)
    files = ("--query_dataset", csv_file, "--query_embeddings", vectors)
    text = output("evaluate.py", *files, "--excluder", "nothing", "--filename", out)
    assert "last_rank: " in text
    found = json.loads(out.read_text())
    assert found["CMC"][0] == 1.0  # each image finds itself
    assert found["definitions"]["metric"] == "power"
    again = output("evaluate.py", *files, "--filename", out)  # without it, as the evaluator of the run did
    assert "excluder diagonal" in again
    for name, value in json.loads(out.read_text())["metrics"].items():
        np.testing.assert_allclose(value, results["test"]["metrics"][name], rtol=1e-5, err_msg=name)

    assert f"{len(rows)} embeddings, lengths from " in output("visualize.py", "lengths", *files)


def test_names_that_are_nowhere_are_answered_with_the_choices(project, dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset, metric="powr")
    done = call(project, "train.py", "--model_dir", run)
    assert done.returncode == 2
    assert "'powr'" in done.stderr
    assert "power" in done.stderr
