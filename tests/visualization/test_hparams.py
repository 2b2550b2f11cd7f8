"""TensorBoard's HPARAMS tab, read by the plugin's own backend."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import ROOT, command
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin
from werkzeug.test import Client
from werkzeug.wrappers import Response

VALUES = {"a": 0.5, "deep/er/b c": 0.75, "d": 0.25}


@pytest.fixture
def parent(tmp_path, dataset):
    """Runs at several depths; one has no results yet, one has no best checkpoint."""
    for number, (name, value) in enumerate(VALUES.items()):
        run = tmp_path / "parent" / name
        run.mkdir(parents=True)
        params = {"dataset": str(dataset), "margin": [0.2, "soft", 0.5][number], "batch_k": 4 + number}
        params |= {"warmup_steps": number, "eval_sets": [["val_eval"], None, None][number]}
        (run / "params.json").write_text(json.dumps(params))
        metrics = {"val_eval": {"general_accuracy": value, "easy_accuracy": value / 2}, "test": {"map": 0.1}}
        lines = [
            {
                "step": step,
                "set": set,
                "checkpoint": f"ckpt-{step}",
                "metrics": {k: v * step / 2 for k, v in of.items()},
            }
            for step in (1, 2, 3)
            for set, of in metrics.items()
        ]
        (run / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        best = {"step": 2, "checkpoint": "ckpt-2", "set": "val_eval", "metric": "general_accuracy"}
        if name != "d":
            (run / "best.json").write_text(json.dumps(best | {"value": value, "metrics": metrics}))
    waiting = tmp_path / "parent" / "waiting"
    waiting.mkdir()
    (waiting / "params.json").write_text(json.dumps({"dataset": str(dataset)}))
    return tmp_path / "parent"


def write(parent):
    done = command("visualize.py", "hparams", "--parent_dir", parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(parent: Path, route: str) -> dict:
    """An answer of the plugin about the present files."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(parent))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(parent))
    plugin = HParamsPlugin(base_plugin.TBContext(data_provider=provider, logdir=str(parent), multiplexer=multiplexer))
    every = {"allowedStatuses": ["STATUS_UNKNOWN"], "startIndex": 0, "sliceSize": 100}
    request = every if route == "/session_groups" else {}
    answer = Client(plugin.get_plugin_apps()[route], Response).post("/", json=request)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text)


def test_tensorboard_finds_runs_parameters_and_metrics(parent):
    assert "3 runs" in write(parent)
    groups = {group["name"]: group for group in ask(parent, "/session_groups")["sessionGroups"]}
    assert list(groups) == sorted(VALUES)
    for number, (name, value) in enumerate(VALUES.items()):
        hparams = groups[name]["hparams"]
        assert (hparams["margin"], hparams["batch_k"]) == (["0.2", "soft", "0.5"][number], 4 + number)
        assert hparams["eval_sets"] == ['["val_eval"]', "null", "null"][number]
        assert hparams["head"] == "direct"  # shown although all are equal
        assert "batch_p" not in hparams
        metrics = {each["name"]["tag"]: each["value"] for each in groups[name]["metricValues"]}
        last = 1.5 if name == "d" else 1.0  # the last step's, not the best
        expected = {"val_eval/general_accuracy": value, "val_eval/easy_accuracy": value / 2, "test/map": 0.1}
        assert metrics == pytest.approx({f"hparams/{key}": last * each for key, each in expected.items()})
    names = [info["displayName"] for info in ask(parent, "/experiment")["metricInfos"]]
    assert set(names) == expected.keys()


def test_what_differs_comes_first(parent):
    write(parent)
    infos = ask(parent, "/experiment")["hparamInfos"]
    differing = ["batch_k", "eval_sets", "margin", "warmup_steps"]
    assert [info["name"] for info in infos if info["differs"]] == differing
    assert [info["name"] for info in infos][: len(differing)] == differing
    types = {info["name"]: info["type"] for info in infos}
    assert (types["margin"], types["batch_k"]) == ("DATA_TYPE_STRING", "DATA_TYPE_FLOAT64")


def test_writing_again_replaces(parent):
    write(parent)
    before = ask(parent, "/session_groups")
    write(parent)
    assert ask(parent, "/session_groups") == before
    assert len(list(parent.rglob("*tfevents*"))) == 1 + len(VALUES)


def test_an_upper_folder_replaces_what_a_search_below_it_wrote(parent):
    """TensorBoard would take the columns of one of them, without the other runs."""
    assert "metrics of 1 run;" in write(parent / "deep")
    assert len(list(parent.rglob("*tfevents*"))) == 2
    write(parent)
    assert not list((parent / "deep").glob("*tfevents*"))
    assert {info["name"]: info["differs"] for info in ask(parent, "/experiment")["hparamInfos"]}["margin"]


def test_a_folder_without_results_is_refused(parent, tmp_path):
    for folder in (parent / "waiting", tmp_path / "gone"):
        done = command("visualize.py", "hparams", "--parent_dir", folder)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "no run with results below this folder" in done.stderr
    assert not (parent / "waiting" / "events.out.tfevents.0.hparams").exists()


def test_results_that_are_damaged_are_told(parent):
    (parent / "d" / "results.jsonl").write_text("{}\n")
    done = command("visualize.py", "hparams", "--parent_dir", parent)
    assert (done.returncode, "line 1 is not a result" in done.stderr) == (2, True)
    assert not list(parent.rglob("*tfevents*"))


def test_it_needs_no_tensorflow(parent):
    code = "import sys, visualize; visualize.main(sys.argv[1:]); assert 'tensorflow' not in sys.modules"
    words = [
        sys.executable,
        "-c",
        code,
        "hparams",
        "--parent_dir",
        str(shutil.copytree(parent, parent.parent / "copy")),
    ]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == 0


def test_metrics_are_those_of_the_table_of_a_search(parent, dataset):
    """A checkpoint that a stopped training saved (step 3) does not count."""
    run = parent / "stopped"
    run.mkdir()
    params = {"dataset": str(dataset), "save_checkpoints_steps": 2, "eval_sets": ["val_eval"]}
    for name in ("params.json", "params.resolved.json"):
        (run / name).write_text(json.dumps(params))
    for step, value in ((2, 0.4), (3, 0.9)):
        line = {"step": step, "set": "val_eval", "checkpoint": f"ckpt-{step}", "metrics": {"general_accuracy": value}}
        line["definitions"] = {"dataset": str(dataset), "metric": "euclidean"}
        with open(run / "results.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
    best = {"step": 3, "set": "val_eval", "metric": "general_accuracy"}
    (run / "best.json").write_text(json.dumps(best | {"metrics": {"val_eval": {"general_accuracy": 0.9}}}))
    write(parent)
    groups = {group["name"]: group for group in ask(parent, "/session_groups")["sessionGroups"]}
    metrics = {each["name"]["tag"]: each["value"] for each in groups["stopped"]["metricValues"] if "value" in each}
    assert metrics == {"hparams/val_eval/general_accuracy": pytest.approx(0.4)}
