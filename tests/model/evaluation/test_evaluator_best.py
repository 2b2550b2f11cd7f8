"""The best checkpoint, kept apart, and results that other results cannot be compared with."""

import json
import shutil

import pytest

from model.evaluation import report
from model.evaluation.evaluator import Evaluator, evaluate_all, evaluate_latest
from model.network.build import build_embedder
from model.run.checkpoint_files import find_checkpoint
from model.run.restore import restore_model
from runtime.errors import UserError
from runtime.json_files import read_json_lines
from runtime.log import Log


def test_the_best_is_kept_apart(run):
    params = run.load_trained_params(["best_metric=test/map"])
    evaluate_all(run, params, Log())
    lines = [x for x in read_json_lines(run.results) if x["set"] == "test"]
    top = max(lines, key=lambda line: line["metrics"]["map"])
    best = json.loads(run.best_json.read_text())
    assert (best["set"], best["metric"], best["value"]) == ("test", "map", top["metrics"]["map"])
    assert best["checkpoint"] == top["checkpoint"]
    assert best["metrics"]["val_eval"]
    shutil.rmtree(run.checkpoints)
    names = {file.name for file in run.best.iterdir()}
    assert names == {f"{top['checkpoint']}.index", f"{top['checkpoint']}.data-00000-of-00001"}
    restore_model(run.best / top["checkpoint"], build_embedder(params))


def test_the_best_stays_when_its_checkpoint_vanishes_during_the_evaluation(run, monkeypatch):
    """The trainer may rotate a checkpoint away while it is evaluated."""
    params = run.load_trained_params(["best_metric=test/map"])
    evaluator = Evaluator(run, params, Log())
    embed = evaluator._embedder.embed

    def embed_slowly(*args):
        for file in run.checkpoints.glob("ckpt-4.*"):
            file.unlink()
        return embed(*args)

    monkeypatch.setattr(evaluator._embedder, "embed", embed_slowly)
    evaluator.evaluate(run.checkpoints / "ckpt-4")
    assert json.loads(run.best_json.read_text())["checkpoint"] == "ckpt-4"
    restore_model(find_checkpoint(run.folder, "best"), build_embedder(params))
    assert not (run.folder / ".evaluating").exists()


def test_best_metric_must_exist(run):
    for wrong, part in (("test", "auto or"), ("other/map", "other/map"), ("test/general_accuracy", "that set has")):
        params = run.load_trained_params([f"best_metric={wrong}"])
        with pytest.raises(UserError, match=part):
            evaluate_all(run, params, Log())
    assert not run.results.exists()


def test_another_distance_is_another_result(own_evaluated):
    run = own_evaluated
    before, best = len(read_json_lines(run.results)), json.loads(run.best_json.read_text())
    evaluate_latest(run, run.load_trained_params(["metric=cityblock"]), Log())
    lines = read_json_lines(run.results)[before:]
    assert [(line["step"], line["definitions"]["metric"]) for line in lines] == [(4, "cityblock")] * 3
    assert json.loads(run.best_json.read_text()) == best  # figures that cannot be compared with it
    shown = report.table(run, {"metric": "cityblock"})
    assert {line.split()[0] for line in shown.splitlines() if line.strip()[:1].isdigit()} == {"4"}


def test_another_data_set_leaves_the_run_alone(own_evaluated, own_dataset):
    run = own_evaluated
    before, best = read_json_lines(run.results), run.best_json.read_bytes()
    evaluate_latest(run, run.load_trained_params([f"dataset={own_dataset}"]), Log())
    assert run.best_json.read_bytes() == best
    added = read_json_lines(run.results)[len(before) :]
    assert {line["definitions"]["dataset"] for line in added} == {str(own_dataset)}
