"""`visualize.py distances`: all pairs counted in blocks, against every pair looked at by NumPy."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.commands import command
from helpers.embedded_sets import embedded_set, image_list, noise
from helpers.metric_names import METRICS
from PIL import Image

from model.metrics.ranking.retrieval import evaluate_retrieval
from visualization.distances import histograms as module
from visualization.distances.histogram_figure import draw_distances, metrics_of, picture_distances
from visualization.distances.histograms import count_distances
from visualization.kit.plotting import pixels_of
from visualization.sources.embedded_set import Lists, assemble_set


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
    for name, size in (("_ROWS", 16), ("_COLUMNS", 30), ("_SAMPLE_ROWS", 40), ("_SAMPLE_COLUMNS", 30)):
        monkeypatch.setattr(module, name, size)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("metric", METRICS)
def test_equals_all_pairs_of_numpy(metric):
    emb, labels = noise(100, 8, 5)
    embedded = embedded_set(emb, labels, metric=metric)
    h = count_distances(embedded, fpr=0.05)
    distances = every_distance(emb, emb, metric)
    same = labels[:, None] == labels
    off = ~np.eye(len(labels), dtype=bool)
    positives, negatives = distances[same & off], distances[~same]

    sample = module._sample(embedded.distances(), embedded.task.lists)  # every 3rd query, every 4th gallery image
    np.testing.assert_allclose(sample, distances[::3, ::4][~same[::3, ::4]], rtol=1e-3, atol=1e-3)
    assert (h.positives.total, h.negatives.total) == (len(positives), len(negatives))
    for spread, values in ((h.positives, positives), (h.negatives, negatives)):
        # Up to an edge: single precision may take a pair to the other side of it.
        near = 1e-5 * h.highest
        below = spread.nearer()[1:-1] * len(values)
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
    labels[[3, 5, 90]] = "nobody else", "-1", "-1"  # junk
    query, gallery = image_list(labels[:60], cameras[:60]), image_list(labels[60:], cameras[60:], "g")
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
    embedded = embedded_set(emb, labels)
    h = count_distances(embedded)
    assert (h.negatives.total, h.threshold, h.tpr) == (0, None, 1.0)
    assert np.isnan([h.auc, h.equal_error_rate, h.d_prime]).all()
    assert ["area under the ROC curve", "–"] in metrics_of(h)
    for log in (False, True):
        assert pixels_of(draw_distances(embedded, h, log=log)).std() > 0


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("metric", METRICS)
def test_collapsed(value, metric):
    embedded = embedded_set(np.full((12, 3), value), np.arange(12) % 4, metric=metric)
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
    embedded = embedded_set(emb, labels)
    h = count_distances(embedded)
    assert draw_distances(embedded, h).axes[0].get_xlim() == (h.edges[0], h.edges[-1])
    assert h.edges[-1] < 100 < 1e5 < h.highest
    assert h.negatives.counts[-1] == pytest.approx(2 * 1470, abs=60)
    assert h.positives.total + h.negatives.total == 1500 * 1499
    (row,) = [value for name, value in metrics_of(h) if name == "beyond the picture"]
    assert f"{h.negatives.counts[-1]:,} negative pairs farther" in row


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_any_scale(scale):
    emb, labels = noise(60, 6, 2)
    scaled = embedded_set(emb * scale, labels)
    one, other = count_distances(embedded_set(emb, labels)), count_distances(scaled)
    assert other.highest == pytest.approx(one.highest * scale, rel=1e-5)
    assert other.auc == pytest.approx(one.auc, abs=1e-4)
    assert np.isfinite(pixels_of(draw_distances(scaled, other))).all()


def test_distances_far_from_zero_are_seen_apart():
    emb, labels = np.eye(40) + 0.001 * noise(40, 5, 40)[0], np.arange(40) % 5
    h = count_distances(embedded_set(emb, labels))
    assert h.edges[0] > 1.3
    assert (h.positives.counts > 0).sum() > 50


def test_picture_is_the_same_in_every_thread():
    emb, labels = noise(80, 6, 3)
    embedded = embedded_set(emb, labels, title="Straße $5 車")
    first = picture_distances(embedded)
    with ThreadPoolExecutor(3) as pool:
        pictures = list(pool.map(picture_distances, [embedded] * 3))
    assert first.dtype == np.uint8
    assert first.shape == (700, 900, 3)
    assert all(np.array_equal(first, picture) for picture in pictures)


def test_command_writes_png_and_page(files, tmp_path):
    source = ["--query_embeddings", files / "x.h5", "--fpr", 0.01]
    assert f"wrote {files / 'distances.png'}" in command("visualize.py", "distances", *source)[1]
    with Image.open(files / "distances.png") as image:
        assert image.size == (1350, 1050)
    out = tmp_path / "a <b>.html"
    words = ["--query_dataset", files / "x.csv", "--log", "--metric", "cosine", "--out", out]
    code, printed, errors = command("visualize.py", "distances", *source, *words)
    assert (code, errors) == (0, "")
    page = out.read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(.{15})', page) == ["data:image/png;"]
    assert "<script" not in page
    shown = dict(re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td>', page))
    assert shown["metric"] == "cosine"
    assert shown["step"] == "7"
    lines = dict(re.split(r"  +", line) for line in printed.splitlines() if "  " in line)
    assert shown["threshold@fpr=0.01"] == lines["threshold@fpr=0.01"]
    assert 0 < float(lines["threshold@fpr=0.01"]) < 2
