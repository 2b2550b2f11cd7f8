"""`visualize.py embedding`: which images are drawn, where they are placed, and what the page says of each."""

import re
import sys

import numpy as np
import pytest
from helpers.commands import command
from helpers.embedded_sets import embedded_set, noise
from helpers.metric_names import METRICS
from PIL import Image

from runtime.errors import UserError
from visualization.embedding.flat_positions import check_umap, draw_images, flatten, neighbour_share
from visualization.embedding.scatter import MARKERS, _pictured, choose_highlighted, draw_embedding, look_of
from visualization.kit.colours import PALETTE, rgb_of

EMBEDDING = ("visualize.py", "embedding", "--query_embeddings")


def numbered(query, gallery=()):
    """The embedding of an image is its number."""
    emb = np.arange(len(query) + len(gallery))[:, None] * [[1, 2]]
    return embedded_set(emb, query, gallery or None)


def groups():
    return noise(60, 4, 6, apart=20)


def test_whole_identities_are_drawn():
    names = [f"id {i % 10}" for i in range(70)] + ["alone"]
    embedded = numbered(names)
    drawn = draw_images(embedded, 30, seed=1)
    found, counts = np.unique(drawn.identities, return_counts=True)
    assert counts.tolist() == [7] * 4  # 28 of 30
    assert "alone" not in found
    places = [int(path[1:-4]) for path in drawn.paths]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(drawn.emb[:, 0], places)
    np.testing.assert_array_equal(drawn.identities, np.array(names)[places])
    again, other = draw_images(embedded, 30, seed=1), draw_images(embedded, 30, seed=2)
    assert again.paths == drawn.paths
    assert other.paths != drawn.paths
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
    emb, labels = groups()
    flat = flatten(emb, metric, "tsne", seed=3)
    assert flat.positions.shape == (60, 2)
    assert neighbour_share(flat.positions, labels) == neighbour_share(emb, labels, metric) == 1
    assert "perplexity 19.7, seed 3" in flat.note


def test_cosine_does_not_see_lengths():
    emb, _ = groups()
    lengths = np.random.default_rng(0).uniform(0.1, 10, (60, 1)).astype(np.float32)
    first, second = (flatten(values, "cosine", "pca").positions for values in (emb, emb * lengths))
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
def test_collapsed(method, metric, value):
    flat = flatten(np.full((10, 4), value), metric, method)
    assert flat.collapsed
    assert "collapsed" in flat.note
    assert (flat.positions == 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_any_scale(scale):
    emb, labels = groups()
    for method in ("tsne", "pca"):
        positions = flatten(emb * np.float32(scale), "euclidean", method).positions
        assert np.isfinite(positions).all()
        assert neighbour_share(positions, labels) > 0.9


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


def test_page_names_every_image(files):
    code, printed, errors = command(*EMBEDDING, files / "x.h5", "--method", "pca")
    assert (code, errors) == (0, "")
    page = (files / "embedding.html").read_text(encoding="utf-8")
    titles = re.findall(r"<title>(id \d &amp; 車)\n(Größe &lt;\d+&gt; \$.png)</title>", page)
    assert len(titles) == 40
    assert re.findall(r'(?:src|href)="(.{15})', page) == ["data:image/png;"]
    assert "<script" not in page
    assert "nearest is of the same identity, embedding: 100.0%" in printed


def test_thumbnails(files, tmp_path):
    words = ["--image_root", files, "--thumbnails", "--images", 20]
    out = tmp_path / "x.png"
    assert command(*EMBEDDING, files / "x.h5", *words, "--identities", 3, "--out", out)[0] == 0
    with Image.open(out) as image:
        colours = {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3)}
    assert rgb_of(PALETTE[0]) in colours
