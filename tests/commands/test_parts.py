"""The examples of CONTRIBUTING.md: one part of each kind, found by its file name, runs with the others."""

import csv
import importlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT, command, process
from helpers.tiny import make_run

from model.run.run_folder import RunFolder
from runtime.json_files import read_json, read_json_lines

CODE = ("runtime", "dataset", "model", "visualization", "visualize.py")
REFERENCE = "model.configuration.reference"
EXAMPLE = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = dict(EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text()))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all examples written into it."""
    folder = tmp_path_factory.mktemp("project")
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for name, text in EXAMPLES.items():
        file = folder / name
        if file.exists():  # a parameter is inserted before the first one
            head, first, rest = file.read_text().partition("    dataset: str")
            text = head + text + first + rest
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def parts(project: Path) -> Iterator[None]:
    """Makes the parts outside this process's project available to it."""
    paths = []
    for name in EXAMPLES:
        if not (ROOT / name).exists() and (ROOT / name).parent.exists():
            package = importlib.import_module(".".join(Path(name).parent.parts))
            package.__path__.append(str((project / name).parent))
            paths.append(package.__path__)
    yield
    for path in paths:
        path.pop()
    for name in EXAMPLES:
        sys.modules.pop(name.removesuffix(".py").replace("/", "."), None)


def call(*words: object) -> str:
    """The output of a command."""
    done = command(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_file_each(parts, project, dataset, tmp_path):
    for file in (dataset / "images").rglob("*.jpg"):
        identity = int(file.parent.name.split()[1])
        copy = tmp_path / "raw" / ("train" if identity < 4 else "test") / f"{identity}_{file.name}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    prepared = tmp_path / "prepared"

    said = call("-m", "dataset.prepare.labelled", "--root", tmp_path / "raw", "--out", prepared)
    assert "train.csv: 20 images of 4 identities" in said
    with open(prepared / "test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(prepared / "pairs.csv", "w", newline="") as file:
        for a, b in zip(rows, [*rows[1:], rows[0]], strict=True):
            verdict = "same" if a["identity"] == b["identity"] else "other"
            csv.writer(file).writerow((a["path"], b["path"], verdict))
    chosen = {"triplet_strategy": "mean_positive", "model_type": "one_layer", "head": "doubled", "metric": "power"}
    chosen |= {"augmentation": ["negative"], "sampling": "in_order", "batch_p": 10}
    run = RunFolder(make_run(tmp_path / "run", prepared, best_metric="pairs/pair_accuracy", **chosen))

    assert "model: one_layer, doubled," in call("train.py", "--model_dir", run.folder)
    losses = [line["loss"] for line in read_json_lines(run.metrics)]
    assert losses[-1] < losses[0]
    assert read_json(run.resolved_json)["triplet_strategy"] == "mean_positive"

    table = call("evaluate.py", "--model_dir", run.folder)
    assert "pairs judged rightly, %" in table
    results = {line["set"]: line for line in read_json_lines(run.results)}
    assert set(results) == {"test", "pairs"}
    assert results["test"]["metrics"]["last_rank"] >= results["test"]["metrics"]["average_rank"]
    assert results["test"]["definitions"]["metric"] == "power"
    assert results["pairs"]["counts"] == {"pairs": len(rows)}
    assert read_json(run.best_json)["metric"] == "pair_accuracy"
    assert (run.eval_events("test") / "projector").is_dir()  # its kind has pictures
    assert not (run.eval_events("pairs") / "projector").exists()

    csv_file, vectors, out = prepared / "test.csv", tmp_path / "test.h5", tmp_path / "out.json"
    call("embed.py", "--model_dir", run.folder, "--dataset", csv_file, "--filename", vectors)
    files = ("--query_dataset", csv_file, "--query_embeddings", vectors)
    text = call("evaluate.py", *files, "--excluder", "nothing", "--filename", out)
    assert "last_rank: " in text
    found = json.loads(out.read_text())
    assert found["CMC"][0] == 1.0  # each image finds itself
    assert found["definitions"]["metric"] == "power"
    again = call("evaluate.py", *files, "--filename", out)  # without it, as the evaluator of the run did
    assert "excluder diagonal" in again
    for name, value in json.loads(out.read_text())["metrics"].items():
        np.testing.assert_allclose(value, results["test"]["metrics"][name], rtol=1e-5, err_msg=name)

    said = call("export.py", "--model_dir", run.folder, "--format", "frozen", "--out", tmp_path / "exported")
    assert "over 10 images" in said
    assert "frozen.pb" in said
    assert "distance `power`" in (tmp_path / "exported" / "model_card.md").read_text()

    drawn = process("visualize.py", "lengths", *files, cwd=project)
    assert f"{len(rows)} embeddings, lengths from " in drawn.stdout, drawn.stderr
    assert "| `negative_share` | number >= 0, <= 1 | `0.5` |" in process("-m", REFERENCE, cwd=project).stdout


def test_the_error_for_unknown_names_lists_the_choices(parts, dataset, tmp_path):
    done = command("train.py", "--model_dir", make_run(tmp_path / "run", dataset, metric="powr"))
    assert done.returncode == 2
    assert "'powr'" in done.stderr
    assert "power" in done.stderr
