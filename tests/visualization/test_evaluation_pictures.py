"""Pictures for TensorBoard by the evaluator; their errors do not stop the evaluation."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.embedded_sets import embedded_set
from helpers.tiny import make_run
from PIL import Image
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_images
from model.evaluation.evaluator import evaluate_all, evaluate_latest
from model.evaluation.sets import load_evaluation_sets
from model.run.run_folder import RunFolder
from runtime.json_files import read_json_lines
from runtime.log import Log
from visualization.sources.embedded_set import assemble_set
from visualization.tensorboard import evaluation_pictures
from visualization.tensorboard.evaluation_pictures import EvaluationPictures
from visualization.tensorboard.projector import Projector, _across, _side


@pytest.fixture(autouse=True)
def no_matplotlib(monkeypatch):
    """The tests of the distances are elsewhere."""
    picture = np.zeros((8, 9, 3), np.uint8)
    monkeypatch.setattr("visualization.distances.histogram_figure.picture_distances", lambda embedded: picture)


def tags(folder):
    """Steps of the images in a folder's events, by tag."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    found = {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    names = {tag: tag.removeprefix("evaluation/") for tag in found}
    return {name: found[tag] for tag, name in names.items() if name in ("rankings", "distances")}


def test_the_evaluator_draws_every_checkpoint(run, monkeypatch):
    monkeypatch.setattr(evaluation_pictures, "PROJECTED", 7)
    evaluate_all(run, run.load_trained_params(), Log(), EvaluationPictures)
    assert len(read_json_lines(run.results)) == 9
    for name in ("query_gallery", "test"):
        assert tags(run.eval_events(name)) == {"rankings": [0, 2, 4], "distances": [0, 2, 4]}
    assert tags(run.eval_events("val_eval")) == {}

    # What TensorBoard's own plugin finds:
    events = plugin_event_multiplexer.EventMultiplexer()
    events.AddRunsFromDirectory(str(run.folder))
    events.Reload()
    provider = data_provider.MultiplexerDataProvider(events, str(run.folder))
    plugin = ProjectorPlugin(base_plugin.TBContext(data_provider=provider, logdir=str(run.folder)))
    plugin._update_configs()
    assert plugin._configs.keys() == {"eval/query_gallery", "eval/test"}
    (embedding,) = plugin._configs["eval/test"].embeddings
    assert embedding.tensor_name == "step 4"
    assert list(embedding.tensor_shape) == [7, 8]
    folder = run.eval_events("test")
    lines = (folder / embedding.metadata_path).read_text().splitlines()
    assert lines[0] == "identity\tfile\tset"
    assert len(lines) == 8
    with Image.open(folder / embedding.sprite.image_path) as sprite:
        assert sprite.size == (3 * 64, 3 * 64)
    assert list(embedding.sprite.single_image_dim) == [64, 64]


def test_no_picture_is_worth_a_figure(run, capsys, monkeypatch):
    """A full disk: one line, and all results."""

    def broken(embedded):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("visualization.distances.histogram_figure.picture_distances", broken)
    evaluate_latest(run, run.load_trained_params(), Log(), EvaluationPictures)
    assert len(read_json_lines(run.results)) == 3
    said = [line for line in capsys.readouterr().out.splitlines() if "no pictures of" in line]
    assert len(said) == 2
    assert "no pictures of test at step 4: [Errno 28] No space left on device" in said[1]


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ("eval_pictures=false", ()),
        ("metric=cityblock", ()),  # another metric than the run's
        ("eval_pictures=true", ("rankings",)),
        ("eval_pictures=true", ("distances",)),
        ("eval_pictures=true", ("projector",)),
    ],
)
def test_pictures_are_those_of_the_kind_where_they_are_wanted(run, monkeypatch, setting, shown):
    if shown:
        monkeypatch.setattr("model.evaluation.kinds.all_vs_all.PICTURES", shown)
    evaluate_latest(run, run.load_trained_params([setting, 'eval_sets=["test"]']), Log(), EvaluationPictures)
    events = run.eval_events("test")  # made with the first event
    assert set(tags(events) if events.exists() else ()) == set(shown) - {"projector"}
    assert (run.eval_events("test") / "projector").exists() == ("projector" in shown)


def test_pictures_are_of_the_evaluated_lists(own_dataset, tmp_path, monkeypatch):
    """Cameras, excluded images, images that vanish before they are drawn, and too many queries."""
    for name, camera in (("query", "1"), ("gallery", "2")):
        file = own_dataset / f"{name}.csv"
        file.write_text(file.read_text().replace("path\n", "path,camera\n").replace(".jpg\n", f".jpg,{camera}\n"))
    Path(load_images(own_dataset / "gallery.csv", own_dataset).manifest.files()[3]).write_bytes(b"")
    run = RunFolder(make_run(tmp_path / "run", own_dataset, corrupt_images="skip", eval_sets=["query_gallery"]))
    params, prepared = run.load_params(), open_prepared(str(own_dataset))
    (ready,) = load_evaluation_sets(prepared, params)
    maker = EvaluationPictures(prepared, ready, params, run)
    emb = np.random.default_rng(0).standard_normal((len(ready.files), 8)).astype(np.float32)
    figures = ready.evaluate(emb)
    lists = maker._lists
    assert lists.files() == ready.files
    embedded = assemble_set(lists, emb, params.metric, title="title", facts={})
    assert embedded.task.counts == figures.counts
    assert embedded.task.rules == figures.definitions["excluder"]
    assert "market1501" in embedded.task.rules
    shutil.rmtree(own_dataset / "images")
    first, second = (dict(maker.draw(emb, step))["rankings"] for step in (0, 1))
    assert first.shape == second.shape == (*first.shape[:2], 3)

    assert maker._drawn(embedded) is embedded
    monkeypatch.setattr(evaluation_pictures, "MOST_PAIRS", 2 * len(embedded.gallery))
    some = [maker._drawn(embedded) for _ in range(2)]
    assert some[0].title == "title: 2 queries, drawn from 6"
    assert some[0].task.queries.tolist() == some[1].task.queries.tolist()
    assert set(some[0].task.queries) < set(embedded.task.queries)


def test_the_projector_keeps_its_images(tmp_path):
    projector, random = Projector(tmp_path, 8, seed=3), np.random.default_rng(0)
    labels = []
    for step in range(2):
        emb = random.standard_normal((20, 4)).astype(np.float32)
        points = embedded_set(emb, [f"id {i % 5}\t\n" for i in range(20)]).query
        projector.write(points, points, f"step {step}")
        labels.append((tmp_path / "projector" / "labels.tsv").read_text())
        rows = [line.split("\t") for line in labels[-1].splitlines()[1:]]
        assert len({identity for identity, *_ in rows}) == 2  # whole identities
        vectors = np.loadtxt(tmp_path / "projector" / "vectors.tsv")
        assert vectors == pytest.approx(emb[[int(file[1:-4]) for _, file, _ in rows]], rel=1e-5)
    assert labels[0] == labels[1]
    assert [_across(n) for n in (1, 2, 4, 5, 1000)] == [1, 2, 2, 3, 32]
    assert _across(100_000) * _side(100_000) <= 8192
