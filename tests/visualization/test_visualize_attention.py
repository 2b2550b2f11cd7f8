"""`visualize.py attention`: what the maps add up to, and where they are, for networks whose answer is known."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command
from helpers.embedding_files import write_embeddings
from helpers.tiny import TINY
from PIL import Image

from dataset.formats.manifest import read_manifest
from model.configuration.loading import check_params
from model.network.build import build_embedder
from model.run.run_folder import RunFolder
from visualization.attention.maps import AttentionMaps, ConstantLength, mean_embedding
from visualization.attention.pair_figure import ExplainedPair, draw_pairs
from visualization.attention.pairs import ChosenPair
from visualization.sources.network import load_embed

ATTENTION = ("visualize.py", "attention")
METRICS = ("euclidean", "sqeuclidean", "cosine", "cityblock")


def embedder(**params):
    return build_embedder(check_params(TINY | {"dataset": "none"} | params, source="test"))


def images(count, side=16):
    """Pairs: (N, 2, H, W, C)."""
    return np.random.default_rng(count).integers(0, 256, (count, 2, side, side, 3), np.uint8)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("head", ["direct", "direct_normalize"])
def test_maps_of_average_pooling_and_a_linear_layer(metric, head):
    model = embedder(head=head, pooling="average")
    features = keras.Model(model.input, keras.Operation.input.fget(model.get_layer("head")))  # (N, h, w, F)
    dense = model.get_layer("head").get_layer("embedding")
    kernel, bias = np.asarray(dense.get_weights()[0], np.float64), np.linspace(-0.1, 0.1, 8)
    dense.set_weights([kernel, bias])
    pairs, centre = images(3), np.linspace(-1, 1, 8) / 5
    maps, similarity, emb = AttentionMaps(model, metric, centre)(pairs)
    if metric == "cityblock":
        centre = 0

    lengths, compared, linear = [], [], []
    for pixels in pairs.swapaxes(0, 1):
        local = np.asarray(features(pixels), np.float64)
        h, w = local.shape[1:3]
        whole = local.mean((1, 2)) @ kernel + bias
        length = np.linalg.norm(whole, axis=1) if head == "direct_normalize" or metric == "cosine" else np.ones(3)
        lengths.append(length)
        compared.append(whole / length[:, None])
        linear.append(local @ kernel / (h * w) / length[:, None, None, None])  # what each place adds: (N, h, w, D)
    for own, (mine, other) in enumerate([(0, 1), (1, 0)]):
        weights = compared[other] - centre
        if metric == "cityblock":
            weights = np.sign(compared[other] - compared[mine])
        expected = np.einsum("nhwd,nd->nhw", linear[mine], weights)
        np.testing.assert_allclose(maps[:, own], expected, rtol=1e-4, atol=1e-5)
        constant = np.einsum("nd,nd->n", bias / lengths[mine][:, None] - centre, weights)
        whole = maps[:, own].sum((1, 2)) + constant
        if metric != "cityblock":
            np.testing.assert_allclose(whole, similarity, rtol=1e-4, atol=1e-5)
    if metric == "cityblock":
        np.testing.assert_allclose(similarity, -np.abs(compared[0] - compared[1]).sum(1), rtol=1e-4)
        if head == "direct":  # the bias cancels, unless lengths differ
            np.testing.assert_allclose(maps.sum((1, 2, 3)), similarity, rtol=1e-4)
    np.testing.assert_allclose(emb[:, 0], model(pairs[:, 0], training=False), atol=1e-6)


@pytest.mark.parametrize("head", ["cgd", "gem", "fc1024_normalize", "similarity", "bnneck", "direct"])
def test_other_heads_against_finite_differences(head):
    """The map is features times gradient: what small steps of the features change while lengths stay as they are."""
    size = 4 if head == "bnneck" else 6
    of_head = {"cgd": {"descriptors": "SMG"}, "direct": {"pooling": "flatten"}}.get(head, {})
    model = embedder(head=head, image_size=8, num_channels=[3, 4], embedding_size=size, **of_head)
    compute, pairs = AttentionMaps(model, "euclidean"), images(1, side=8)
    maps, _, emb = compute(pairs)
    assert maps.shape == (1, 2, 2, 2)
    features = np.asarray(compute._features(pairs[:, 0]), np.float64)

    lengths = {}
    for layer in compute._head.layers:
        if isinstance(layer, ConstantLength):

            def divided(vectors, name=layer.name):
                return vectors / lengths.setdefault(name, tf.norm(vectors, axis=-1, keepdims=True))

            layer.call = divided

    def similarity(x):
        return float(tf.reduce_sum(compute._head(tf.constant(x, tf.float32)) * emb[:, 1]))

    similarity(features)  # these are the lengths that stay
    assert len(lengths) == {"cgd": 4, "gem": 1, "fc1024_normalize": 1}.get(head, 0)
    step = 1e-3
    gradient = np.zeros_like(features)
    for place in np.ndindex(features.shape):
        up, down = features.copy(), features.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (similarity(up) - similarity(down)) / (2 * step)
    expected = (features * gradient).sum(-1)
    np.testing.assert_allclose(maps[:, 0], expected, atol=0.02 * np.abs(expected).max() + 1e-5)


@pytest.mark.parametrize("head", ["direct_normalize", "cgd"])
@pytest.mark.parametrize("metric", METRICS)
def test_dead_network_has_zero_maps(head, metric):
    model = embedder(head=head)
    for layer in model.get_layer("head").layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    maps, similarity, _ = AttentionMaps(model, metric)(images(2))
    assert (maps == 0).all()
    assert np.isfinite(similarity).all()
    pair = explained(maps[0])
    assert (pair.scaled_maps() == 0).all()
    assert pair.shares_lowered() == [0, 0]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_constant_length(scale):
    x = tf.constant([[3.0, 0.0, -4.0]]) * scale
    with tf.GradientTape() as tape:
        tape.watch(x)
        unit = ConstantLength()(x)
        total = tf.reduce_sum(unit * [[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(unit, [[0.6, 0, -0.8]], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(total, x).numpy() * scale, [[0.2, 0.4, 0.6]], rtol=1e-5)


def test_mean_embedding():
    emb = np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
    np.testing.assert_allclose(mean_embedding(emb, "euclidean"), [1.5, 3.0])
    np.testing.assert_allclose(mean_embedding(emb, "cosine"), [0.3, 0.9])


def explained(maps, channels=3):
    pixels = np.full((2, 6, 8, channels), 128, np.uint8)
    return ExplainedPair(ChosenPair(("", ""), ("a", "b"), ("", "")), pixels, np.asarray(maps), 1.0, 0.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_of_a_pair_have_one_scale_and_lie_over_grey_images(channels):
    pair = explained([[[1.0, -8.0]], [[4.0, 2.0]]], channels)
    assert pair.scaled_maps().tolist() == [[[0.25, 0]], [[1, 0.5]]]
    assert pair.scaled_maps(lowered=True).tolist() == [[[0, 1]], [[0, 0]]]
    assert pair.shares_lowered() == pytest.approx([8 / 9, 0])
    figure = draw_pairs([pair], ["title"], lowered=True)
    for axes, expected in zip(figure.axes[1:3], pair.scaled_maps(lowered=True), strict=True):
        grey, coloured = axes.images
        assert np.allclose(grey.get_array(), 128)
        assert np.array_equal(coloured.get_array(), expected)
        assert (coloured.get_clim(), coloured.get_cmap().name) == ((0, 1), "inferno")
        assert coloured.get_extent() == grey.get_extent()


def test_command_on_a_run(trained, tmp_path):
    out = tmp_path / "a.png"
    words = ["--queries", 3, "--match", "wrong", "--out", out]
    code, printed, errors = command(*ATTENTION, "--model_dir", trained, *words)
    assert (code, errors) == (0, "")
    assert printed.count("✗ wrong") == 3
    assert f"wrote {out}: 3 pairs" in printed
    with Image.open(out) as image:
        assert image.width > 800


def test_command_on_pairs_and_on_a_file(trained, dataset, tmp_path):
    first, second = sorted((dataset / "images").rglob("*.jpg"))[:2]
    odd = tmp_path / "Größe <1> $.jpg"
    odd.write_bytes(second.read_bytes())
    out = tmp_path / "a.html"
    code, printed, errors = command(*ATTENTION, "--model_dir", trained, "--pair", first, odd, "--out", out)
    assert (code, errors) == (0, "")
    page = out.read_text(encoding="utf-8")
    assert "Größe &lt;1&gt; $.jpg" in page
    assert re.findall(r'(?:src|href)="(.{15})', page) == ["data:image/png;"]

    params, checkpoint = RunFolder(trained).load_trained_params(), trained / "checkpoints" / "ckpt-4"
    listed = read_manifest(dataset / "test.csv", dataset)
    emb = load_embed(checkpoint, params)(listed.files(), np.ones(len(listed), np.uint8), "images")
    file = tmp_path / "q.h5"
    attributes = {"checkpoint": str(checkpoint), "params": json.dumps(params.model_dump())}
    write_embeddings(file, emb, listed, attributes)
    words = ["--query_embeddings", file, "--image_root", dataset, "--show", "best", "--queries", 2, "--lowered"]
    code, printed, errors = command(*ATTENTION, *words)
    assert (code, errors) == (0, "")
    assert (tmp_path / "attention.png").is_file()
    names = re.findall(r"(\S+) +(\S+)  distance ([\d.]+)", printed.replace("id ", "id_"))
    places = {path.replace("id ", "id_"): row for row, path in enumerate(listed.paths)}
    for query, match, distance in names:
        expected = np.linalg.norm(emb[places[query]].astype(float) - emb[places[match]])
        assert float(distance) == pytest.approx(expected, rel=1e-3)
    assert len(names) == 2

    write_embeddings(file, emb, listed, {"params": json.dumps(params.model_dump())})
    assert "does not say which checkpoint made it" in command(*ATTENTION, *words)[2]
    write_embeddings(file, emb, listed, attributes | {"checkpoint": "gone/ckpt-1"})
    assert "gone/ckpt-1, which is not there" in command(*ATTENTION, *words)[2]
