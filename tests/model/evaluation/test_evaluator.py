"""The evaluator beside and after a training, and what it leaves."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT, command, environment
from helpers.tiny import make_run

from dataset.formats.manifest import read_manifest, read_rows, write_manifest
from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_images
from model.embedding.embedder import Embedder
from model.evaluation.evaluator import Evaluator, evaluate_all, evaluate_latest
from model.evaluation.sets import load_evaluation_sets
from model.metrics.pooling import pool_sequences
from model.metrics.ranking.retrieval import evaluate_retrieval
from model.network.build import build_embedder
from model.run import results
from model.run.checkpoint_files import UnreadableCheckpointError, find_checkpoint
from model.run.restore import restore_model
from model.run.results import origin_of
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import append_json_line, read_json_lines
from runtime.log import Log

ORIGIN: dict[str, str] = {}  # any data set, any metric
SETS = ["val_eval", "query_gallery", "test"]


def test_sequences_are_pooled(own_dataset, tmp_path):
    """The figures of tracklets are those of their mean embeddings, and are kept apart from those of images."""
    run = RunFolder(make_run(tmp_path / "run", own_dataset, eval_sets=["query_gallery"]))
    rows = {name: read_rows(own_dataset / f"{name}.csv")[1:] for name in ("query", "gallery")}
    for name, part in rows.items():
        camera = "1" if name == "query" else "2"
        tracks = [(*row, camera, f"{row[0]} {name} {i % 2}") for i, row in enumerate(part)]
        write_manifest(own_dataset / f"{name}.csv", tracks)
    params = run.load_params(["eval_pool_sequences=mean"])
    (each,) = load_evaluation_sets(open_prepared(params.dataset), params)
    emb = np.random.default_rng(0).standard_normal((len(each.files), 4)).astype(np.float32)
    figures = each.evaluate(emb)
    assert figures.counts["queries"] == 6
    assert figures.counts["gallery"] == 12
    pooled = [
        pool_sequences(emb[part], read_manifest(own_dataset / f"{name}.csv", own_dataset), "mean")
        for name, part in (("query", slice(0, 6)), ("gallery", slice(6, None)))
    ]
    expected = evaluate_retrieval(pooled[0][0], pooled[1][0], pooled[0][1], pooled[1][1], "market1501", "euclidean")
    assert figures.metrics == expected.metrics
    assert origin_of(params) != origin_of(run.load_params())
    append_json_line(
        run.results,
        {"step": 0, "set": "query_gallery", "checkpoint": "ckpt-0", "metrics": {}, "definitions": origin_of(params)},
    )
    assert results.evaluated(run, origin_of(params))
    assert not results.evaluated(run, origin_of(run.load_params()))
    write_manifest(own_dataset / "query.csv", [tuple(row) for row in rows["query"]])
    with pytest.raises(UserError, match="has no column sequence"):
        load_evaluation_sets(open_prepared(params.dataset), params)


@pytest.fixture
def run(trained, tmp_path) -> RunFolder:
    """A copy of a trained run with nothing evaluated."""
    for part in ("eval", "best", "results.jsonl", "best.json"):
        assert not (trained / part).exists()
    return RunFolder(shutil.copytree(trained, tmp_path / "run"))


def test_every_checkpoint_and_set_oldest_first(run, capsys):
    evaluate_all(run, run.load_trained_params(), Log())
    lines = read_json_lines(run.results)
    assert [(line["step"], line["set"]) for line in lines] == [(step, name) for step in (0, 2, 4) for name in SETS]
    by_set = {line["set"]: line for line in lines}
    assert set(by_set["val_eval"]["metrics"]) == {"general_accuracy", "easy_accuracy"}
    wanted = {"cmc@1", "cmc@5", "cmc@10", "recall@1", "recall@2", "recall@4", "recall@8", "map", "map_market"}
    for name in ("query_gallery", "test"):
        assert wanted <= set(by_set[name]["metrics"])
        assert {"map", "excluder", "metric", "ties"} <= set(by_set[name]["definitions"])
        assert by_set[name]["counts"]["queries_used"] == {"query_gallery": 6, "test": 30}[name]
    shares = [(n, v) for line in lines for n, v in line["metrics"].items() if "rank" not in n and "threshold" not in n]
    assert all(0 <= value <= 1 for _, value in shares)
    for name in SETS:
        assert list(run.eval_events(name).glob("events.*"))
    again = Evaluator(run, run.load_trained_params(), Log())
    assert again.pending() == []
    out = capsys.readouterr().out
    assert "training has ended and all checkpoints that were kept are evaluated" in out
    table = results.table(run, ORIGIN)
    assert "general / easy accuracy" in table
    assert "cmc@10" in table
    assert [line.split()[0] for line in table.splitlines() if line.strip()[:1].isdigit()] == ["0", "2", "4"] * 3


def test_figures_equal_a_computation_by_hand(run, dataset):
    """Recall@1 of the set test, from the network's embeddings, with loops."""
    params = run.load_trained_params()
    evaluate_all(run, params, Log())
    images = load_images(dataset / "test.csv", dataset)
    model = build_embedder(params)
    restore_model(run.checkpoints / "ckpt-4", model)
    emb = Embedder(model, params).embed(images.manifest.files(), images.orientations).astype(float)
    hits = 0
    for i in range(len(emb)):
        d = np.linalg.norm(emb - emb[i], axis=1)
        d[i] = np.inf
        hits += images.manifest.identities[d.argmin()] == images.manifest.identities[i]
    line = next(x for x in read_json_lines(run.results) if (x["step"], x["set"]) == (4, "test"))
    assert line["metrics"]["recall@1"] == pytest.approx(hits / len(emb))


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


def test_the_names_of_all_figures_are_known_beforehand(run):
    params = run.load_trained_params()
    evaluate_all(run, params, Log())
    names = {each.name: set(each.metrics) for each in load_evaluation_sets(open_prepared(params.dataset), params)}
    for line in read_json_lines(run.results):
        lower_is_better = {"average_rank", "first_rank", "threshold@fpr=0.001"}  # of these there is no best
        assert set(line["metrics"]) - lower_is_better == names[line["set"]]


def test_another_distance_is_another_result(run):
    evaluate_all(run, run.load_trained_params(), Log())
    before, best = len(read_json_lines(run.results)), json.loads(run.best_json.read_text())
    evaluate_latest(run, run.load_trained_params(["metric=cityblock"]), Log())
    lines = read_json_lines(run.results)[before:]
    assert [(line["step"], line["definitions"]["metric"]) for line in lines] == [(4, "cityblock")] * 3
    assert json.loads(run.best_json.read_text()) == best  # figures that cannot be compared with it
    shown = results.table(run, {"metric": "cityblock"})
    assert {line.split()[0] for line in shown.splitlines() if line.strip()[:1].isdigit()} == {"4"}


def test_embeddings_that_are_no_numbers_do_not_stop_the_evaluator(run, capsys, monkeypatch):
    embed = Embedder.embed
    calls = []

    def broken_once(self, *args):
        calls.append(1)
        return embed(self, *args) * (np.nan if len(calls) == 1 else 1)

    monkeypatch.setattr(Embedder, "embed", broken_once)
    evaluate_all(run, run.load_trained_params(), Log())
    assert {line["step"] for line in read_json_lines(run.results)} == {2, 4}
    out = capsys.readouterr().out
    assert "30 of 30 embeddings are not finite" in out
    assert "all checkpoints that were kept are evaluated, except ckpt-0" in out


def test_broken_images_are_left_out_of_every_set(run, own_dataset, capsys):
    rows = (own_dataset / "test.csv").read_text().splitlines()[1:]
    (own_dataset / rows[0].partition(",")[2]).unlink()
    params = run.load_trained_params([f"dataset={own_dataset}", "corrupt_images=skip"])
    evaluate_latest(run, params, Log())
    counts = {line["set"]: line["counts"] for line in read_json_lines(run.results)}
    assert counts["test"]["queries"] == 29
    assert counts["query_gallery"]["queries"] == 5
    assert 0 < counts["val_eval"]["episodes"] < 6
    assert "29 different images" in capsys.readouterr().out


def test_evaluation_parameters_are_those_of_params_json(run):
    """What training does not depend on may be changed later; what it depends on is what it was."""
    values = json.loads(run.params_json.read_text()) | {"eval_sets": ["test"], "embedding_size": 77}
    run.params_json.write_text(json.dumps(values))
    params = run.load_trained_params()
    assert (params.eval_sets, params.embedding_size) == (["test"], 8)
    assert run.load_trained_params(['eval_sets=["val_eval"]']).eval_sets == ["val_eval"]


def test_results_of_repeated_steps_are_forgotten(run):
    evaluate_all(run, run.load_trained_params(), Log())
    assert results.forget_results_after(run, 2) == 3
    assert {line["step"] for line in read_json_lines(run.results)} == {0, 2}
    assert results.forget_results_after(run, 2) == 0


def test_checkpoints_that_cannot_be_read_are_left_out(run, capsys):
    evaluator = Evaluator(run, run.load_trained_params(), Log())
    for file in run.checkpoints.glob("ckpt-2.data*"):
        file.unlink()  # the index is still there: the moment of deletion
    with pytest.raises(UnreadableCheckpointError):
        evaluator.evaluate(run.checkpoints / "ckpt-2")
    data = run.checkpoints / "ckpt-0.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])  # and one whose disk was full
    evaluate_all(run, run.load_trained_params(), Log())
    assert {line["step"] for line in read_json_lines(run.results)} == {4}
    out = capsys.readouterr().out
    assert "ckpt-2 was deleted before it could be read; left out" in out
    assert "ckpt-0 cannot be read" in out


def test_nothing_is_evaluated_twice_after_an_interruption(run):
    params = run.load_trained_params()
    evaluate_all(run, params, Log())
    whole = run.results.read_bytes()
    lines = whole.splitlines(keepends=True)
    run.results.write_bytes(b"".join(lines[:4]) + lines[4][:20])  # killed while it wrote
    evaluate_all(run, params, Log())
    again = read_json_lines(run.results)
    assert sorted((x["step"], x["set"]) for x in again) == sorted((s, n) for s in (0, 2, 4) for n in SETS)


def test_one_set_only(run):
    evaluate_all(run, run.load_trained_params(['eval_sets=["test"]']), Log())
    assert {line["set"] for line in read_json_lines(run.results)} == {"test"}
    with pytest.raises(UserError, match="no set 'tset'; it has val_eval, query_gallery, test"):
        Evaluator(run, run.load_trained_params(['eval_sets=["tset"]']), Log())


def test_once(run):
    done = command("evaluate.py", "--model_dir", run.folder, "--once")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {line["step"] for line in read_json_lines(run.results)} == {4}
    assert "ckpt-4: val_eval general_accuracy" in done.stdout
    again = command("evaluate.py", "--model_dir", run.folder, "--set", "eval_run_once=true")
    assert "evaluated already" in again.stdout
    assert "cmc@1" in again.stdout


def test_it_ends_when_nothing_comes(run):
    run.done.unlink()
    done = command("evaluate.py", "--model_dir", run.folder, "--set", "eval_timeout_secs=0.5")
    assert done.returncode == 0
    assert "no new checkpoint for 0.5 s" in done.stdout
    shutil.rmtree(run.checkpoints)
    done = command("evaluate.py", "--model_dir", run.folder, "--set", "eval_timeout_secs=0.5")
    assert done.returncode == 0
    assert "no checkpoint in" in done.stdout


def test_started_together_with_the_training(dataset, tmp_path):
    """Both at the same moment on an empty run: it waits, evaluates every checkpoint kept, and ends by itself."""
    run = make_run(tmp_path / "run", dataset, train_iterations=9)
    processes = [
        subprocess.Popen(
            [sys.executable, script, "--model_dir", str(run)],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for script in ("evaluate.py", "train.py")
    ]
    (evaluated, errors), (_, train_errors) = [process.communicate(timeout=180) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors + train_errors
    assert "waiting for the first checkpoint" in evaluated
    assert sorted({line["step"] for line in read_json_lines(run / "results.jsonl")}) == [0, 2, 4, 6, 8, 9]
    assert evaluated.count("val_eval general_accuracy") == 6


def test_the_evaluator_writes_nothing_among_the_checkpoints(run):
    before = {path: path.stat().st_mtime_ns for path in run.checkpoints.iterdir()}
    evaluate_all(run, run.load_trained_params(), Log())
    assert before == {path: path.stat().st_mtime_ns for path in run.checkpoints.iterdir()}


def test_another_data_set_leaves_the_run_alone(run, own_dataset):
    evaluate_all(run, run.load_trained_params(), Log())
    before, best = read_json_lines(run.results), run.best_json.read_bytes()
    evaluate_latest(run, run.load_trained_params([f"dataset={own_dataset}"]), Log())
    assert run.best_json.read_bytes() == best
    added = read_json_lines(run.results)[len(before) :]
    assert {line["definitions"]["dataset"] for line in added} == {str(own_dataset)}


def test_nothing_could_be_evaluated(run):
    for file in run.checkpoints.glob("ckpt-*.data*"):
        file.write_bytes(b"cut short")
    with pytest.raises(UserError, match="none of its checkpoints could be evaluated"):
        evaluate_all(run, run.load_trained_params(), Log())


def test_long_tables_show_the_first_the_best_and_the_latest(tmp_path):
    run = RunFolder(tmp_path)
    values = [
        {"step": s, "set": "a", "checkpoint": f"ckpt-{s}", "metrics": {"general_accuracy": s / 100}} for s in range(60)
    ]
    run.results.write_text("".join(json.dumps(value) + "\n" for value in values))
    run.best_json.write_text(json.dumps({"step": 7}))
    shown = [line.split()[0] for line in results.table(run, ORIGIN).splitlines() if line.strip()[:1].isdigit()]
    assert shown == ["0", "7", *map(str, range(30, 60))]


def test_a_folder_that_is_moved_keeps_working(trained, tmp_path):
    moved = Path(shutil.copytree(trained, tmp_path / "somewhere else"))
    run = RunFolder(moved)
    assert [path.parent for path in Evaluator(run, run.load_trained_params(), Log()).pending()] == [
        moved / "checkpoints"
    ] * 3
