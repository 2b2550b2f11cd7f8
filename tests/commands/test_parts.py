"""New parts, one file each in a folder outside the project: found by their names, trained and evaluated with."""

import csv
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.tiny import make_run

from model.run.run_folder import RunFolder
from runtime.json_files import read_json, read_json_lines

PARTS = {
    "model/losses/strategies/mean_positive.py": '''
import tensorflow as tf
from model.losses.terms import Terms, evenly


def terms(chunk, margin, options):
    """The mean positive and the nearest negative."""
    valid = tf.cast(chunk.valid, tf.float32)
    positives = tf.cast(chunk.positives, tf.float32)
    mean = tf.math.divide_no_nan(tf.reduce_sum(positives * chunk.distances, 1), chunk.positive_count)
    nearest = tf.where(chunk.valid, chunk.nearest_negative, 0.0)
    cost = margin(mean - nearest)
    pull, push = (evenly(c, valid * cost.slope) for c in (chunk.positives, chunk.apart == nearest[:, None]))
    return Terms(valid * cost.value, valid, valid * cost.active, valid, pull - push)
''',
    "model/network/backbones/one_layer.py": """
import keras

CHANNELS = None


def preprocess(pixels):
    return pixels / 255.0


def stages(params):
    return {1: "convolution"}


def build(image_shape, params):
    inputs = keras.Input(image_shape)
    return keras.Model(inputs, keras.layers.Conv2D(6, 4, 4, name="convolution")(inputs), name="backbone")
""",
    "model/network/heads/doubled.py": """
from model.network.heads import embedding_layer, pool


def head(features, params):
    return 2.0 * embedding_layer(pool(features, params), params)
""",
    "dataset/augmentation/negative.py": """
def augment(image, seed, params):
    return 255 - image
""",
    "model/distances/power.py": '''
"""sum_i |a_i - b_i|^(3/2)."""


def of_differences(differences, xp):
    return xp.abs(differences) ** 1.5


def slopes(differences, tf):
    return 1.5 * tf.sign(differences) * tf.sqrt(tf.abs(differences))


def as_euclidean(distance, dimensions):
    return distance ** (2 / 3)
''',
    "model/metrics/ranking/per_query/last_rank.py": """
DEFINITIONS = {"last_rank": "mean over queries of the rank of the last match"}
BEST_BY = ()
COLUMNS = ()


def per_query(ranks):
    return {"last_rank": ranks.ranks[ranks.offsets[1:] - 1].astype(float)}
""",
    "model/evaluation/kinds/pairs.py": '''
"""Pairs of images, `pairs.csv`: is it one identity? The threshold is the mean distance."""

import csv

import numpy as np

from model.evaluation.ready_set import ReadySet, SetMetrics
from model.metrics.episodes.accuracies import pair_distances

MAIN = "pair_accuracy"
PICTURES = ()


def find(folder):
    return {"pairs": (folder / "pairs.csv",)} if (folder / "pairs.csv").exists() else {}


def load(found, prepared, params):
    with open(found.files[0], newline="") as file:
        rows = list(csv.reader(file))
    files = [str(prepared.image_root / path) for row in rows for path in row[:2]]
    same = np.array([row[2] == "same" for row in rows])

    def evaluate(embeddings):
        first = np.arange(0, len(files), 2)
        distances = pair_distances(embeddings, first, first + 1, params.metric)
        right = (distances < distances.mean()) == same
        definitions = {MAIN: "share of pairs judged rightly"}
        return SetMetrics({MAIN: float(right.mean())}, definitions, {"pairs": len(rows)}, {})

    return ReadySet(found, files, np.ones(len(files), np.uint8), evaluate, (MAIN,), 0)


def tables(names):
    return [("pairs judged rightly, %", {name: (name, (MAIN,)) for name in names})]
''',
    "model/metrics/excluders/nothing.py": """
import numpy as np

MEANING = "nothing (the query itself counts as a match)"
JUNK = ()
CAMERAS = None


def left_out(query, gallery):
    return np.zeros(len(query.identities), bool)
""",
}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[None]:
    """All of them are found, in a folder outside the project, while the test runs."""
    added = []
    for name, text in PARTS.items():
        file = tmp_path / "parts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        package = importlib.import_module(".".join(Path(name).parent.parts))
        package.__path__.append(str(file.parent))
        added.append(package.__path__)
    yield
    for path in added:
        path.pop()
    for name in PARTS:
        sys.modules.pop(name.removesuffix(".py").replace("/", "."), None)


def call(*words: object) -> str:
    """What a command says."""
    done = command(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_file_each(parts, own_dataset, tmp_path):
    with open(own_dataset / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    pairs = [(a, b) for a, b in zip(rows, [*rows[1:], rows[0]], strict=True)]
    with open(own_dataset / "pairs.csv", "w", newline="") as file:
        verdicts = ["same" if a["identity"] == b["identity"] else "other" for a, b in pairs]
        csv.writer(file).writerows((a["path"], b["path"], v) for (a, b), v in zip(pairs, verdicts, strict=True))
    chosen = {"triplet_strategy": "mean_positive", "model_type": "one_layer", "head": "doubled", "metric": "power"}
    run = RunFolder(
        make_run(tmp_path / "run", own_dataset, augmentation=["negative"], best_metric="pairs/pair_accuracy", **chosen)
    )

    assert "model: one_layer, doubled," in call("train.py", "--model_dir", run.folder)
    losses = [line["loss"] for line in read_json_lines(run.metrics)]
    assert losses[-1] < losses[0]
    assert read_json(run.resolved_json)["triplet_strategy"] == "mean_positive"

    table = call("evaluate.py", "--model_dir", run.folder)
    assert "pairs judged rightly, %" in table
    results = {line["set"]: line for line in read_json_lines(run.results)}
    assert set(results) == {"val_eval", "query_gallery", "test", "pairs"}
    assert results["test"]["metrics"]["last_rank"] >= results["test"]["metrics"]["average_rank"]
    assert results["test"]["definitions"]["metric"] == "power"
    assert results["pairs"]["counts"] == {"pairs": len(rows)}
    assert read_json(run.best_json)["metric"] == "pair_accuracy"
    assert (run.eval_events("test") / "projector").is_dir()  # as its kind has pictures
    assert not (run.eval_events("pairs") / "projector").exists()

    csv_file, vectors, out = own_dataset / "test.csv", tmp_path / "test.h5", tmp_path / "out.json"
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


def test_names_that_are_nowhere_are_answered_with_the_choices(parts, own_dataset, tmp_path):
    run = make_run(tmp_path / "run", own_dataset, metric="powr")
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 2
    assert "'powr'" in done.stderr
    assert "power" in done.stderr
