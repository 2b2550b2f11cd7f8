"""`visualize.py distances`: all pairs, against NumPy. `embedding`: the images and their places."""

import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.commands import command
from helpers.embedded_sets import embedded_set, image_list, noise
from helpers.html_page import Parsed
from helpers.metric_names import METRICS
from matplotlib.axes import Axes
from PIL import Image
from scipy.spatial.distance import cdist

from model.metrics.ranking.retrieval import evaluate_retrieval
from runtime.errors import UserError
from visualization.distances import histograms as module
from visualization.distances.histogram_figure import draw_distances, metrics_of, picture_distances
from visualization.distances.histograms import count_distances
from visualization.embedding.flat_positions import check_umap, draw_images, flatten, neighbour_share
from visualization.embedding.scatter import MARKERS, _pictured, choose_highlighted, draw_embedding, look_of
from visualization.kit.colours import PALETTE, rgb_of
from visualization.kit.plotting import pixels_of
from visualization.sources.embedded_set import Lists, assemble_set


@pytest.fixture
def small_tiles(monkeypatch):
    for name, size in (("_ROWS", 16), ("_COLUMNS", 30), ("_SAMPLE_ROWS", 40), ("_SAMPLE_COLUMNS", 30)):
        monkeypatch.setattr(module, name, size)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("metric", METRICS)
def test_equals_all_pairs_of_numpy(metric):
    emb, labels = noise(100, 8, 5)
    embedded = embedded_set(emb, labels, metric=metric)
    h = count_distances(embedded)
    distances = cdist(emb, emb, metric)
    same = labels[:, None] == labels
    off = ~np.eye(len(labels), dtype=bool)
    positives, negatives = distances[same & off], distances[~same]

    sample = module._sample(embedded.distances(), embedded.task.lists)  # every 3rd query, every 4th gallery image
    np.testing.assert_allclose(sample, distances[::3, ::4][~same[::3, ::4]], rtol=1e-3, atol=1e-3)
    assert (h.positives.total, h.negatives.total) == (len(positives), len(negatives))
    for spread, values in ((h.positives, positives), (h.negatives, negatives)):
        # Single precision may move a pair across an edge.
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
    thresholds = np.concatenate([positives, negatives])
    rates = [max((positives >= t).mean(), (negatives < t).mean()) for t in thresholds]
    assert h.equal_error_rate == pytest.approx(min(rates), abs=5e-3)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("metric", METRICS)
def test_operating_point_is_the_evaluation_s(metric):
    emb, labels = noise(150, 12, 6, seed=1)
    cameras = np.random.default_rng(1).integers(0, 3, len(labels)).astype(str).astype(object)
    labels = labels.astype(object)
    labels[[3, 5, 90]] = "nobody else", "-1", "-1"  # junk
    query, gallery = image_list(labels[:60], cameras[:60]), image_list(labels[60:], cameras[60:], "g")
    embedded = assemble_set(Lists(query, gallery, "market1501"), emb, metric, title="x", facts={})
    task, lists = embedded.task, embedded.task.lists
    for fpr in (0.001, 0.02):
        result = evaluate_retrieval(emb[:60], emb[60:], query, gallery, "market1501", metric, fpr=fpr)
        h = count_distances(embedded, fpr)
        assert h.threshold == result.metrics[f"threshold@fpr={fpr:g}"]
        assert h.tpr == result.metrics[f"tpr@fpr={fpr:g}"]
        pairs = len(task.queries) * len(task.gallery)
        assert h.positives.total == len(lists.columns)
        assert h.negatives.total == pairs - len(lists.columns) - len(lists.left_out)


def test_one_identity_has_no_negatives():
    emb, labels = noise(20, 1, 4)
    embedded = embedded_set(emb, labels)
    h = count_distances(embedded)
    assert (h.negatives.total, h.threshold, h.tpr) == (0, None, 1.0)
    assert np.isnan([h.auc, h.equal_error_rate, h.d_prime]).all()
    assert ["area under the ROC curve", "–"] in metrics_of(h)
    assert pixels_of(draw_distances(embedded, h)).std() > 0


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
    assert "collapsed" in draw_distances(embedded, h).get_suptitle()


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
    embedded = embedded_set(*noise(80, 6, 3), title="Straße $5 車")
    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(picture_distances, [embedded] * 3)
    assert (first.dtype, first.shape) == (np.uint8, (700, 900, 3))
    assert all(np.array_equal(first, other) for other in others)


def test_command_writes_png_and_page(files, tmp_path):
    source = ["--query_embeddings", files / "x.h5", "--fpr", 0.01]
    assert f"wrote {files / 'distances.png'}" in command("visualize.py", "distances", *source)[1]
    with Image.open(files / "distances.png") as image:
        assert image.size == (1350, 1050)
    out = tmp_path / "a <b>.html"
    words = ["--query_dataset", files / "x.csv", "--log", "--metric", "cosine", "--out", out]
    code, printed, errors = command("visualize.py", "distances", *source, *words)
    assert (code, errors) == (0, "")
    page = Parsed(out)
    assert [image["src"][:15] for image in page.all("img")] == ["data:image/png;"]
    lines = dict(re.split(r"  +", line) for line in printed.splitlines() if "  " in line)
    for name, value in {"metric": "cosine", "step": "7", "threshold@fpr=0.01": lines["threshold@fpr=0.01"]}.items():
        assert name + value in page.words
    assert 0 < float(lines["threshold@fpr=0.01"]) < 2


# embedding

EMBEDDING = ("visualize.py", "embedding", "--query_embeddings")
EMB, LABELS = noise(60, 4, 6, apart=20)


def numbered(query, gallery=()):
    """The embedding of an image is its number."""
    emb = np.arange(len(query) + len(gallery))[:, None] * [[1, 2]]
    return embedded_set(emb, query, gallery or None)


def test_whole_identities_are_drawn():
    names = [f"id {i % 10}" for i in range(70)] + ["alone"]
    embedded = numbered(names)
    drawn = draw_images(embedded, 30, seed=1)
    assert sorted(Counter(drawn.identities).values()) == [7] * 4  # 28 of 30, and not "alone"
    places = [int(path[1:-4]) for path in drawn.paths]
    assert places == sorted(set(places))
    assert drawn.emb[:, 0].tolist() == places
    assert drawn.identities.tolist() == [names[place] for place in places]
    assert draw_images(embedded, 30, seed=1).paths == drawn.paths
    assert draw_images(embedded, 30, seed=2).paths != drawn.paths
    assert len(draw_images(embedded, 1000, seed=0).paths) == 70


def test_queries_and_gallery_without_distractors():
    drawn = draw_images(numbered(["a", "b", "nobody"], ["a", "b", "0000", "0000", "b", "c"]), 100, seed=0)
    assert drawn.paths == ["q0.jpg", "q1.jpg", "g0.jpg", "g1.jpg", "g4.jpg"]
    assert drawn.emb[:, 0].tolist() == [0, 1, 3, 4, 7]


def test_a_large_identity_is_cut_and_fewer_than_three_are_refused():
    assert len(draw_images(numbered(["a"] * 50), 20, seed=0).paths) == 20
    with pytest.raises(UserError, match="at least 3"):
        draw_images(numbered(["a", "a", "b"]), 100, seed=0)


@pytest.mark.parametrize("metric", METRICS)
def test_tsne_keeps_groups_apart_by_every_metric(metric):
    flat = flatten(EMB, metric, "tsne", seed=3)
    assert neighbour_share(flat.positions, LABELS) == neighbour_share(EMB, LABELS, metric) == 1
    assert "perplexity 19.7, seed 3" in flat.note


def test_cosine_does_not_see_lengths():
    lengths = np.random.default_rng(0).uniform(0.1, 10, (60, 1)).astype(np.float32)
    first, second = (flatten(values, "cosine", "pca").positions for values in (EMB, EMB * lengths))
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("method", ["tsne", "pca"])
@pytest.mark.parametrize("shape", [(3, 1), (3, 2), (4, 8), (7, 1)])
def test_few_images_and_few_dimensions(method, shape):
    emb = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    positions = flatten(emb, "euclidean", method).positions
    assert positions.shape == (len(emb), 2)
    assert np.isfinite(positions).all()


@pytest.mark.parametrize("method", ["tsne", "pca"])
@pytest.mark.parametrize("value", [0.0, 5.0])
@pytest.mark.parametrize("metric", METRICS)
def test_collapsed_embeddings_lie_at_one_place(method, metric, value):
    flat = flatten(np.full((10, 4), value), metric, method)
    assert flat.collapsed
    assert (flat.positions == 0).all()


@pytest.mark.parametrize("method", ["tsne", "pca"])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_neighbours_at_any_scale(method, scale):
    positions = flatten(EMB * np.float32(scale), "euclidean", method).positions
    assert np.isfinite(positions).all()
    assert neighbour_share(positions, LABELS) > 0.9


def test_neighbour_share():
    points = np.array([[0.0], [1], [10], [12], [30]])
    labels = np.array(["a", "a", "b", "c", "c"])
    assert neighbour_share(points, labels) == pytest.approx(3 / 5)


def test_umap_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match="pip install umap-learn"):
        check_umap()


def test_highlighted_are_the_largest_and_look_different():
    names = np.array(["a"] * 3 + ["b"] * 5 + ["c"] * 5 + ["d"])
    assert choose_highlighted(names, 2) == ["b", "c"]
    assert choose_highlighted(names, 9) == ["a", "b", "c", "d"]
    assert choose_highlighted(names, 0) == []
    assert len({look_of(number) for number in range(64)}) == 64
    assert len({look_of(number)[1] for number in range(8)}) == len(MARKERS) == len(PALETTE)


def test_thumbnails_do_not_share_a_square():
    positions = np.array([[0.1, 0.1], [0.45, 0.55], [0.9, 0.9], [2.5, 0.2]])
    points, middles = _pictured(positions, np.zeros(2), 1.0)
    assert points == [1, 3]
    assert middles.tolist() == [[0.5, 0.5], [2.5, 0.5]]


def test_spots_lie_on_their_points():
    drawn = draw_images(numbered(["a", "a", "b", "b"]), 10, seed=0)
    pixels, spots = draw_embedding(drawn, np.array([[0, 0], [0, 1], [1, 0], [2, 2.0]]), ["a", "b"], ["title"])
    for spot, colour in zip(spots, [PALETTE[0]] * 2 + [PALETTE[1]] * 2, strict=True):
        middle = pixels[round(spot.y + spot.height / 2), round(spot.x + spot.width / 2)]
        assert tuple(middle) == rgb_of(colour)


def test_page_names_every_image(files, tmp_path):
    code, printed, errors = command(*EMBEDDING, files / "x.h5", "--method", "pca", "--out", tmp_path / "a.html")
    assert (code, errors) == (0, "")
    page = Parsed(tmp_path / "a.html")
    assert len(re.findall(r"<b>id \d & 車\nGröße <\d+> \$.png", page.words)) == len(page.all("title")) - 1 == 40
    assert [image["href"][:15] for image in page.all("image")] == ["data:image/png;"]
    assert not page.all("script")
    assert (
        "nearest image has the same identity, embedding: 87.5%" in printed
    )  # not the share of the first four and of 30


def test_thumbnails(files, tmp_path):
    out = tmp_path / "x.png"
    words = [*EMBEDDING, files / "x.h5", "--image_root", files, "--thumbnails", "--images"]
    assert "cannot be read as an image; repair it, or drop --thumbnails" in command(*words, 40).stderr
    seed = 8  # draws no identity with images that cannot be opened
    assert command(*words, 20, "--identities", 3, "--seed", seed, "--out", out).returncode == 0
    with Image.open(out) as image:
        colours = {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3)}
    assert rgb_of(PALETTE[0]) in colours


def test_the_legend_has_every_identity(monkeypatch):
    names, seen = ["_a", "$b$ _", "c\nd\x1b"], []
    legend = Axes.legend
    monkeypatch.setattr(Axes, "legend", lambda *a, **k: seen.append(legend(*a, **k)) or seen[0])
    drawn = draw_images(numbered([name for name in names for _ in range(2)]), 10, seed=0)
    pixels, _ = draw_embedding(drawn, np.random.default_rng(0).normal(size=(6, 2)), names, ["title"])
    assert {text.get_text() for text in seen[0].get_texts()} == {"_a (2)", r"\$b\$ _ (2)", r"c\nd\x1b (2)"}
    box = seen[0].get_window_extent()
    assert min(box.x0, box.y0) >= 0  # inside the picture
    assert max(box.x1 - pixels.shape[1], box.y1 - pixels.shape[0]) <= 0
