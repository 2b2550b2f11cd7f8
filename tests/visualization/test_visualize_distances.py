"""`visualize.py distances`: all pairs counted in blocks, against every pair looked at by NumPy."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.embedding_files import write_embeddings
from helpers.metric_names import METRICS
from PIL import Image

import visualize
from dataset.formats.manifest import Manifest, write_manifest
from model.metrics.ranking.retrieval import evaluate_retrieval
from runtime.errors import exit_code
from visualization.distances import histograms as module
from visualization.distances.histogram_figure import draw_distances, metrics_of, picture_distances
from visualization.distances.histograms import BINS, count_distances
from visualization.kit.plotting import pixels_of
from visualization.sources.embedded_set import EmbeddedSet, Lists, assemble_set


def manifest(labels, cameras=None, prefix=""):
    names = np.array([f"id {label}" for label in labels], object)
    paths = np.array([f"{prefix}{i}.jpg" for i in range(len(labels))], object)
    return Manifest(names, paths, Path(), Path("list.csv"), cameras)


def make_set(emb, labels, metric="euclidean", title="noise, test", step="1,200") -> EmbeddedSet:
    """Each image against all others."""
    images = manifest(labels)
    emb = np.asarray(emb, np.float32)
    return assemble_set(Lists(images, images, "diagonal"), emb, metric, title=title, facts={"step": step})


def noise(count, identities, dimensions, seed=0, apart=1.0):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % identities
    centres = apart * random.normal(size=(identities, dimensions))
    return (centres[labels] + random.normal(size=(count, dimensions))).astype(np.float32), labels


def every_distance(a, b, metric):
    """(A, B), coordinate by coordinate in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "cosine":
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        return 0.5 * np.square(a[:, None] - b[None]).sum(-1)
    if metric == "cityblock":
        return np.abs(a[:, None] - b[None]).sum(-1)
    squares = np.square(a[:, None] - b[None]).sum(-1)
    return squares if metric == "sqeuclidean" else np.sqrt(squares)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 16)
    monkeypatch.setattr(module, "_COLUMNS", 30)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("metric", METRICS)
def test_equals_all_pairs_of_numpy(metric):
    emb, labels = noise(100, 8, 5)
    embedded = make_set(emb, labels, metric)
    h = count_distances(embedded, fpr=0.05)
    distances = every_distance(emb, emb, metric)
    same = labels[:, None] == labels
    off = ~np.eye(len(labels), dtype=bool)
    positives, negatives = distances[same & off], distances[~same]

    assert (h.positives.total, h.negatives.total) == (len(positives), len(negatives))
    for spread, values in ((h.positives, positives), (h.negatives, negatives)):
        # Up to an edge: single precision may take a pair to the other side of it.
        near = 1e-5 * h.highest
        below = spread.below() * len(values)
        assert (below >= [(values < edge - near).sum() - 0.01 for edge in h.edges]).all()
        assert (below <= [(values < edge + near).sum() + 0.01 for edge in h.edges]).all()
        assert spread.drawn(96).sum() + spread.counts[0] + spread.counts[-1] == len(values)
        assert spread.mean == pytest.approx(values.mean(), rel=1e-5)
        assert spread.std == pytest.approx(values.std(), rel=1e-4)
    assert h.lowest == pytest.approx(min(positives.min(), negatives.min()), rel=1e-3, abs=1e-6)
    assert h.highest == pytest.approx(max(positives.max(), negatives.max()), rel=1e-5)

    nearer = (positives[:, None] < negatives).mean()
    assert h.auc == pytest.approx(nearer, abs=1e-4)
    pooled = np.sqrt((positives.var() + negatives.var()) / 2)
    assert h.d_prime == pytest.approx((negatives.mean() - positives.mean()) / pooled, rel=1e-4)
    thresholds = np.sort(np.concatenate([positives, negatives]))
    rates = [max((positives >= t).mean(), (negatives < t).mean()) for t in thresholds]
    assert h.equal_error_rate == pytest.approx(min(rates), abs=5e-3)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("metric", METRICS)
def test_operating_point_is_the_evaluation_s(metric):
    random = np.random.default_rng(1)
    emb, labels = noise(150, 12, 6, seed=1)
    cameras = random.integers(0, 3, len(labels)).astype(str).astype(object)
    labels = labels.astype(object)
    labels[[5, 90]] = "-1"
    query, gallery = manifest(labels[:60], cameras[:60], "q"), manifest(labels[60:], cameras[60:], "g")
    query.identities[3] = "nobody else"
    gallery.identities[30] = "-1"  # junk
    embedded = assemble_set(Lists(query, gallery, "market1501"), emb, metric, title="x", facts={})
    for fpr in (0.001, 0.02):
        result = evaluate_retrieval(emb[:60], emb[60:], query, gallery, "market1501", metric, fpr=fpr)
        h = count_distances(embedded, fpr)
        assert h.threshold == result.metrics[f"threshold@fpr={fpr:g}"]
        assert h.tpr == result.metrics[f"tpr@fpr={fpr:g}"]
        task = embedded.task
        left = len(task.queries) * len(task.gallery) - len(task.lists.columns) - len(task.lists.left_out)
        assert h.negatives.total == left
        assert h.positives.total == len(task.lists.columns)


def test_one_identity_has_no_negatives():
    emb, labels = noise(20, 1, 4)
    embedded = make_set(emb, labels)
    h = count_distances(embedded)
    assert (h.negatives.total, h.threshold, h.tpr) == (0, None, 1.0)
    assert np.isnan([h.auc, h.equal_error_rate, h.d_prime]).all()
    assert ["area under the ROC curve", "–"] in metrics_of(h)
    for log in (False, True):
        assert pixels_of(draw_distances(embedded, h, log=log)).std() > 0


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("metric", METRICS)
def test_collapsed(value, metric):
    embedded = make_set(np.full((12, 3), value), np.arange(12) % 4, metric)
    h = count_distances(embedded)
    assert (h.positives.total, h.negatives.total) == (24, 108)
    assert h.positives.counts[1:-1].sum() == 24
    assert h.auc == 0.5
    assert h.equal_error_rate == pytest.approx(0.5, abs=0.5)
    assert np.isfinite(h.edges).all()
    title = draw_distances(embedded, h).get_suptitle()
    assert "collapsed" in title


def test_few_far_pairs_do_not_hide_the_others():
    emb, labels = noise(1500, 50, 4)
    emb[7] *= 1e6
    h = count_distances(make_set(emb, labels))
    assert h.edges[-1] < 100 < 1e5 < h.highest
    assert h.negatives.counts[-1] == pytest.approx(2 * 1470, abs=60)
    assert h.positives.total + h.negatives.total == 1500 * 1499
    (row,) = [value for name, value in metrics_of(h) if name == "beyond the picture"]
    assert f"{h.negatives.counts[-1]:,} negative pairs farther" in row


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_any_scale(scale):
    emb, labels = noise(60, 6, 2)
    one, other = count_distances(make_set(emb, labels)), count_distances(make_set(emb * scale, labels))
    assert other.highest == pytest.approx(one.highest * scale, rel=1e-5)
    assert other.auc == pytest.approx(one.auc, abs=1e-4)
    assert np.isfinite(pixels_of(draw_distances(make_set(emb * scale, labels), other))).all()


def test_distances_far_from_zero_are_seen_apart():
    emb, labels = np.eye(40) + 0.001 * noise(40, 5, 40)[0], np.arange(40) % 5
    h = count_distances(make_set(emb, labels))
    assert h.edges[0] > 1.3
    assert (h.positives.counts > 0).sum() > 50


def test_picture_is_the_same_in_every_thread():
    emb, labels = noise(80, 6, 3)
    embedded = make_set(emb, labels, title="Straße $5 車")
    first, pictures = picture_distances(embedded), []
    threads = [threading.Thread(target=lambda: pictures.append(picture_distances(embedded))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.dtype == np.uint8
    assert first.shape == (700, 900, 3)
    assert len(pictures) == 3
    assert all(np.array_equal(first, picture) for picture in pictures)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Embeddings of a list, as embed.py writes them."""
    folder = tmp_path_factory.mktemp("embeddings")
    emb, labels = noise(40, 5, 4)
    rows = [(f"Größe {label} & <b>", f"{i}.jpg") for i, label in enumerate(labels)]
    write_manifest(folder / "test.csv", rows)
    listed = Manifest(*(np.array(c, object) for c in zip(*rows, strict=True)), folder, folder / "test.csv")
    write_embeddings(folder / "test.h5", emb, listed, {"step": 12})
    return folder


def distances(*words):
    return exit_code(lambda: visualize.main(["distances", *map(str, words)]))


def test_command_writes_png_and_page(files, tmp_path, capsys):
    assert distances("--query_embeddings", files / "test.h5", "--fpr", 0.01) == 0
    printed = capsys.readouterr().out
    assert f"wrote {files / 'distances.png'}" in printed
    with Image.open(files / "distances.png") as image:
        assert image.size == (1350, 1050)
    out = tmp_path / "a <b>.html"
    words = ["--query_dataset", files / "test.csv", "--fpr", 0.01, "--log", "--metric", "cosine", "--out", out]
    assert distances("--query_embeddings", files / "test.h5", *words) == 0
    page = out.read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(.{15})', page) == ["data:image/png;"]
    assert "<script" not in page
    shown = dict(re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td>', page))
    assert shown["metric"] == "cosine"
    assert shown["step"] == "12"
    lines = dict(re.split(r"  +", line) for line in capsys.readouterr().out.splitlines() if "  " in line)
    assert shown["threshold@fpr=0.01"] == lines["threshold@fpr=0.01"]
    assert 0 < float(lines["threshold@fpr=0.01"]) < 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fpr", "0"], "--fpr: 0: it must be a number between 0 and 1"),
        (["--fpr", "nan"], "--fpr: nan: it must be a number between 0 and 1"),
        (["--out", "x.gif"], "its name must end in"),
        (["--out", "no/such/folder/x.png"], "does not exist; make it first"),
        (["--metric", "manhattan"], "--metric: invalid choice: 'manhattan'"),
    ],
)
def test_mistakes_are_one_line(files, words, message, capsys):
    assert distances("--query_embeddings", files / "test.h5", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_no_positives_is_told(tmp_path, capsys):
    images = Manifest(np.array(["a", "b"], object), np.array(["0.jpg", "1.jpg"], object), tmp_path, tmp_path / "x.csv")
    write_embeddings(tmp_path / "x.h5", np.eye(2), images, {})
    assert distances("--query_embeddings", tmp_path / "x.h5") == 2
    assert "none of the 2 queries" in capsys.readouterr().err


def test_bins_have_a_divisor_for_each_picture():
    assert BINS % 96 == 0
    assert BINS % 48 == 0
