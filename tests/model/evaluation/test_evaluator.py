"""The evaluator: metrics of every set, tables, the best checkpoint, results that are not comparable."""

import json
import shutil

import numpy as np
import pytest
from helpers.tiny import EVAL_SETS, make_run

from dataset.formats.manifest import read_manifest, read_rows, write_manifest
from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_images
from model.embedding.embedder import Embedder
from model.evaluation import report
from model.evaluation.evaluator import Evaluator, evaluate_all, evaluate_latest
from model.evaluation.sets import load_evaluation_sets
from model.metrics.pooling import pool_sequences
from model.metrics.ranking.retrieval import evaluate_retrieval
from model.network.build import build_embedder
from model.run.checkpoint_files import find_checkpoint
from model.run.restore import restore_model
from model.run.results import origin_of
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import append_json_line, read_json_lines
from runtime.log import Log

ORIGIN: dict[str, str] = {}  # any data set, any metric


def test_sequences_are_pooled(own_dataset, tmp_path):
    """Metrics of tracklets are those of their mean embeddings, and are separate from those of images."""
    run = RunFolder(make_run(tmp_path / "run", own_dataset, eval_sets=["query_gallery"]))
    rows = {name: read_rows(own_dataset / f"{name}.csv")[1:] for name in ("query", "gallery")}
    for name, part in rows.items():
        camera = "1" if name == "query" else "2"
        tracks = [(*row, camera, f"{row[0]} {name} {i % 2}") for i, row in enumerate(part)]
        write_manifest(own_dataset / f"{name}.csv", tracks)
    params = run.load_params(["eval_pool_sequences=mean"])
    (each,) = load_evaluation_sets(open_prepared(params.dataset), params)
    emb = np.random.default_rng(0).standard_normal((len(each.files), 4)).astype(np.float32)
    result = each.evaluate(emb)
    assert (result.counts["queries"], result.counts["gallery"]) == (6, 12)
    query, gallery = (
        pool_sequences(emb[part], read_manifest(own_dataset / f"{name}.csv", own_dataset), "mean")
        for name, part in (("query", slice(0, 6)), ("gallery", slice(6, None)))
    )
    expected = evaluate_retrieval(query[0], gallery[0], query[1], gallery[1], "market1501", "euclidean")
    assert result.metrics == expected.metrics
    assert origin_of(params) != origin_of(run.load_params())
    write_manifest(own_dataset / "query.csv", [tuple(row) for row in rows["query"]])
    with pytest.raises(UserError, match="has no column sequence"):
        load_evaluation_sets(open_prepared(params.dataset), params)


def test_every_checkpoint_and_set_oldest_first(trained, evaluated, dataset):
    params = evaluated.load_trained_params()
    lines = read_json_lines(evaluated.results)
    assert [(line["step"], line["set"]) for line in lines] == [(step, name) for step in (0, 2, 4) for name in EVAL_SETS]
    # The names of all metrics are known in advance; the first is the one of `auto`.
    sets = {each.name: each.metrics for each in load_evaluation_sets(open_prepared(params.dataset), params)}
    assert [metrics[0] for metrics in sets.values()] == ["general_accuracy", "map", "map"]
    no_best = {
        "average_rank",
        "first_rank",
        "threshold@fpr=0.001",
    }  # lower is better, so they choose no best checkpoint
    for line in lines:
        assert set(line["metrics"]) - no_best == set(sets[line["set"]])
        assert all(0 <= value <= 1 for name, value in line["metrics"].items() if name not in no_best)
    wanted = {"cmc@1", "cmc@5", "cmc@10", "recall@1", "recall@2", "recall@4", "recall@8", "map", "map_market"}
    for line in lines[-2:]:
        assert wanted <= set(line["metrics"])
        assert {"map", "excluder", "metric", "ties"} <= set(line["definitions"])
        assert line["counts"]["queries_used"] == {"query_gallery": 6, "test": 30}[line["set"]]
    for name in EVAL_SETS:
        assert list(evaluated.eval_events(name).glob("events.*"))
    assert Evaluator(evaluated, params, Log()).pending() == []
    before, after = (
        {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        for folder in (trained / "checkpoints", evaluated.checkpoints)
    )
    assert before == after  # nothing is written among the checkpoints
    table = report.table(evaluated, ORIGIN)
    assert "general / easy accuracy" in table
    assert "cmc@10" in table
    assert [line.split()[0] for line in table.splitlines() if line.strip()[:1].isdigit()] == ["0", "2", "4"] * 3

    # Recall@1 of the set test, computed from the embeddings of the network.
    images = load_images(dataset / "test.csv", dataset)
    model = build_embedder(params)
    restore_model(evaluated.checkpoints / "ckpt-4", model)
    emb = Embedder(model, params).embed(images.manifest.files(), images.orientations).astype(float)
    distances = np.linalg.norm(emb[:, None] - emb, axis=2)
    np.fill_diagonal(distances, np.inf)
    hits = images.manifest.identities[distances.argmin(1)] == images.manifest.identities
    assert lines[-1]["metrics"]["recall@1"] == pytest.approx(hits.mean())


def test_broken_images_are_skipped_in_every_set(run, own_dataset, capsys):
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
    """Parameters of the evaluation may change later; those of the training stay."""
    values = json.loads(run.params_json.read_text()) | {"eval_sets": ["test"], "embedding_size": 77}
    run.params_json.write_text(json.dumps(values))
    params = run.load_trained_params()
    assert (params.eval_sets, params.embedding_size) == (["test"], 8)
    evaluate_latest(run, params, Log())
    assert {line["set"] for line in read_json_lines(run.results)} == {"test"}
    with pytest.raises(UserError, match="no set 'tset'; it has val_eval, query_gallery, test"):
        Evaluator(run, run.load_trained_params(['eval_sets=["tset"]']), Log())


def test_long_tables_show_the_first_the_best_and_the_latest(tmp_path):
    run = RunFolder(tmp_path)
    for step in range(60):
        line = {"step": step, "set": "a", "checkpoint": f"ckpt-{step}", "metrics": {"general_accuracy": step / 100}}
        append_json_line(run.results, line)
    append_json_line(run.results, line | {"set": "pairs", "metrics": {"pair_accuracy": 0.5}})
    run.best_json.write_text(json.dumps({"step": 7}))
    table = report.table(run, ORIGIN)
    shown = [line.split()[0] for line in table.splitlines() if line.strip()[:1].isdigit()]
    assert shown == ["0", "7", *map(str, range(30, 60))]
    assert "\npairs: unknown kind of evaluation set" in table


def test_the_best_checkpoint_is_kept(run):
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
    """Training may delete a checkpoint while it is evaluated."""
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
    assert not list(run.folder.glob(".evaluating*"))


def test_best_metric_must_exist(run):
    for wrong, part in (("test", "auto or"), ("other/map", "other/map"), ("test/general_accuracy", "that set has")):
        params = run.load_trained_params([f"best_metric={wrong}"])
        with pytest.raises(UserError, match=part):
            evaluate_all(run, params, Log())
    assert not run.results.exists()


@pytest.mark.parametrize("key", ["metric", "dataset"])
def test_another_distance_or_data_set_is_another_result(key, own_evaluated, own_dataset):
    run, value = own_evaluated, {"metric": "cityblock", "dataset": str(own_dataset)}[key]
    run.best_json.write_text(
        json.dumps(json.loads(run.best_json.read_text()) | {"value": -1})
    )  # any result would be better
    before, best = read_json_lines(run.results), run.best_json.read_bytes()
    evaluate_latest(run, run.load_trained_params([f"{key}={value}"]), Log())
    added = read_json_lines(run.results)[len(before) :]
    assert [(line["step"], line["definitions"][key]) for line in added] == [(4, value)] * 3
    assert run.best_json.read_bytes() == best  # the new results are not comparable
    shown = report.table(run, {key: value})
    assert {line.split()[0] for line in shown.splitlines() if line.strip()[:1].isdigit()} == {"4"}
