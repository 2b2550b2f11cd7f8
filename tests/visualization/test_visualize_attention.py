"""`visualize.py attention`: what the maps add up to, and where they are, for networks whose answer is known."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.tiny import TINY, make_run
from PIL import Image

import visualize
from model.configuration.loading import check_params
from model.network.build import build_embedder
from runtime.errors import exit_code
from visualization.attention.maps import AttentionMaps, ConstantLength, mean_embedding
from visualization.attention.pair_figure import ExplainedPair, overlay, scale_maps, share_lowered

METRICS = ("euclidean", "sqeuclidean", "cosine", "cityblock")


def embedder(**params):
    return build_embedder(check_params(TINY | {"dataset": "none"} | params, source="test"))


def images(count, seed=0, side=16):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def layers(model):
    """Features (N, h, w, F), and the weights of the last layer, in float64."""
    features = keras.Model(model.input, keras.Operation.input.fget(model.get_layer("head")))
    dense = model.get_layer("head").get_layer("embedding")
    kernel, bias = (np.asarray(weight, np.float64) for weight in dense.get_weights())
    return lambda pixels: np.asarray(features(pixels), np.float64), kernel, bias


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("head", ["direct", "direct_normalize"])
def test_maps_of_average_pooling_and_a_linear_layer(metric, head):
    model = embedder(head=head, pooling="average")
    head_model = model.get_layer("head").get_layer("embedding")
    head_model.set_weights([head_model.get_weights()[0], np.linspace(-0.1, 0.1, 8).astype(np.float32)])
    features, kernel, bias = layers(model)
    first, second = images(3), images(3, seed=1)
    centre = np.linspace(-1, 1, 8) / 5
    maps = AttentionMaps(model, metric, centre)(first, second)
    if metric == "cityblock":
        centre = 0

    lengths, compared, linear = [], [], []
    for pixels in (first, second):
        local = features(pixels)  # (N, h, w, F)
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
        np.testing.assert_allclose(maps[own], expected, rtol=1e-4, atol=1e-5)
        constant = np.einsum("nd,nd->n", bias / lengths[mine][:, None] - centre, weights)
        whole = maps[own].sum((1, 2)) + constant
        if metric != "cityblock":
            np.testing.assert_allclose(whole, maps.similarity, rtol=1e-4, atol=1e-5)
    if metric == "cityblock":
        np.testing.assert_allclose(maps.similarity, -np.abs(compared[0] - compared[1]).sum(1), rtol=1e-4)
        both = maps.first.sum((1, 2)) + maps.second.sum((1, 2))  # the bias cancels, unless lengths differ
        if head == "direct":
            np.testing.assert_allclose(both, maps.similarity, rtol=1e-4)
    np.testing.assert_allclose(maps.first_emb, model(first, training=False), atol=1e-6)


@pytest.mark.parametrize("head", ["cgd", "gem", "fc1024_normalize", "similarity", "bnneck"])
def test_other_heads_against_finite_differences(head):
    """The map is features times gradient: what small steps of the features change while lengths stay as they are."""
    size = 4 if head == "bnneck" else 6
    of_head = {"descriptors": "SMG"} if head == "cgd" else {}
    model = embedder(head=head, image_size=8, num_channels=[3, 4], embedding_size=size, **of_head)
    maps = AttentionMaps(model, "euclidean")
    first, second = images(1, seed=2, side=8), images(1, seed=3, side=8)
    found = maps(first, second)
    assert found.first.shape == (1, 2, 2)
    features = np.asarray(maps._features(first), np.float64)

    lengths = {}
    for layer in maps._head.layers:
        if isinstance(layer, ConstantLength):

            def divided(vectors, name=layer.name):
                return vectors / lengths.setdefault(name, tf.norm(vectors, axis=-1, keepdims=True))

            layer.call = divided

    def similarity(x):
        return float(tf.reduce_sum(maps._head(tf.constant(x, tf.float32)) * found.second_emb))

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
    np.testing.assert_allclose(found.first, expected, atol=0.02 * np.abs(expected).max() + 1e-5)


def test_only_the_left_half_matters():
    """A network whose features are the brightness, and whose embedding sees the left columns only."""
    model = embedder(
        model_type="basic", head="direct", pooling="flatten", num_channels=[2], use_batch_norm=False, embedding_size=2
    )
    kernel, bias = model.get_layer("backbone").get_layer("conv_0").get_weights()
    kernel[:] = 0
    kernel[1, 1] = 1 / 3
    model.get_layer("backbone").get_layer("conv_0").set_weights([kernel, np.ones_like(bias)])
    dense = model.get_layer("head").get_layer("embedding")
    weights = np.zeros((8, 8, 2, 2), np.float32)
    weights[:, :4] = 1.0
    dense.set_weights([weights.reshape(-1, 2), np.zeros(2, np.float32)])
    for metric in ("euclidean", "cosine"):
        maps = AttentionMaps(model, metric)(images(2), images(2, seed=1))
        for values in (maps.first, maps.second):
            assert (values[:, :, :4] > 0).all()
            assert (values[:, :, 4:] == 0).all()


def test_an_image_with_itself_has_a_map():
    first = images(2)
    maps = AttentionMaps(embedder(head="direct_normalize", pooling="average"), "cosine")(first, first)
    np.testing.assert_allclose(maps.similarity, 1, rtol=1e-5)
    np.testing.assert_allclose(maps.first.sum((1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(maps.first, maps.second, rtol=1e-5)


@pytest.mark.parametrize("head", ["direct_normalize", "cgd"])
@pytest.mark.parametrize("metric", METRICS)
def test_dead_network_has_zero_maps(head, metric):
    model = embedder(head=head)
    for layer in model.get_layer("head").layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    maps = AttentionMaps(model, metric)(images(2), images(2, seed=1))
    assert (maps.first == 0).all()
    assert (maps.second == 0).all()
    assert np.isfinite(maps.similarity).all()
    pair = explained(maps.first[0], maps.second[0])
    assert all((values == 0).all() for values in scale_maps(pair))
    assert share_lowered(maps.first[0]) == 0


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


def explained(first, second, channels=3):
    picture = np.full((6, 8, channels), 128, np.uint8)
    return ExplainedPair(picture, picture, first, second, "a", "b", "", "", 1.0, 0.5, None)


def test_maps_of_a_pair_have_one_scale():
    pair = explained(np.array([[1.0, -8.0]]), np.array([[4.0, 2.0]]))
    first, second = scale_maps(pair)
    np.testing.assert_array_equal(first, [[0.25, 0]])
    np.testing.assert_array_equal(second, [[1, 0.5]])
    first, second = scale_maps(pair, lowered=True)
    np.testing.assert_array_equal(first, [[0, 1]])
    np.testing.assert_array_equal(second, [[0, 0]])
    assert share_lowered(pair.query_map) == pytest.approx(8 / 9)


@pytest.mark.parametrize("channels", [1, 3])
def test_overlay_is_brightest_where_the_map_is(channels):
    picture = overlay(np.full((6, 8, channels), 128, np.uint8), np.array([[0.0, 0.0], [0.0, 1.0]]))
    assert picture.shape == (6, 8, 3)
    light = picture.sum(-1).astype(int)
    assert light[-1, -1] == light.max() > light[0, 0] == light.min()


@pytest.fixture
def attention(monkeypatch, capsys):
    """Runs the command in this process, whose TensorFlow is at work already."""
    monkeypatch.setattr("model.run.devices.prepare", lambda *_: ["CPU"])

    def run(*words):
        code = exit_code(lambda: visualize.main(["attention", *map(str, words)]))
        return code, *capsys.readouterr()

    return run


def test_command_on_a_run(trained, tmp_path, attention):
    out = tmp_path / "a.png"
    code, printed, errors = attention("--model_dir", trained, "--queries", 3, "--match", "wrong", "--out", out)
    assert (code, errors) == (0, "")
    assert printed.count("✗ wrong") == 3
    assert f"wrote {out}: 3 pairs" in printed
    with Image.open(out) as image:
        assert image.width > 800


def test_command_on_pairs_and_on_a_file(trained, dataset, tmp_path, attention, monkeypatch):
    first, second = sorted((dataset / "images").rglob("*.jpg"))[:2]
    odd = tmp_path / "Größe <1> $.jpg"
    odd.write_bytes(second.read_bytes())
    out = tmp_path / "a.html"
    code, printed, errors = attention("--model_dir", trained, "--pair", first, odd, "--out", out)
    assert (code, errors) == (0, "")
    page = out.read_text(encoding="utf-8")
    assert "Größe &lt;1&gt; $.jpg" in page
    assert re.findall(r'(?:src|href)="(.{15})', page) == ["data:image/png;"]

    from dataset.formats.manifest import read_manifest
    from model.embedding.embedder import Embedder
    from model.embedding.hdf5_file import write_embeddings
    from model.run.restore import restore_model
    from model.run.run_folder import RunFolder

    params = RunFolder(trained).load_trained_params()
    model = build_embedder(params)
    restore_model(trained / "checkpoints" / "ckpt-4", model)
    listed = read_manifest(dataset / "test.csv", dataset)
    emb = Embedder(model, params).embed(listed.files(), np.ones(len(listed), np.uint8))
    file = tmp_path / "q.h5"
    attributes = {"checkpoint": str(trained / "checkpoints" / "ckpt-4"), "params": json.dumps(params.model_dump())}
    write_embeddings(file, emb, listed, attributes)
    words = ["--query_embeddings", file, "--image_root", dataset, "--show", "best", "--queries", 2, "--lowered"]
    code, printed, errors = attention(*words)
    assert (code, errors) == (0, "")
    assert (tmp_path / "attention.png").is_file()
    names = re.findall(r"(\S+) +(\S+)  distance ([\d.]+)", printed.replace("id ", "id_"))
    places = {path.replace("id ", "id_"): row for row, path in enumerate(listed.paths)}
    for query, match, distance in names:
        expected = np.linalg.norm(emb[places[query]].astype(float) - emb[places[match]])
        assert float(distance) == pytest.approx(expected, rel=1e-3)
    assert len(names) == 2

    write_embeddings(file, emb, listed, {"params": json.dumps(params.model_dump())})
    assert "does not say which checkpoint made it" in attention(*words)[2]
    write_embeddings(file, emb, listed, attributes | {"checkpoint": "gone/ckpt-1"})
    assert "gone/ckpt-1, which is not there" in attention(*words)[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--queries", 0], "--queries: 0: it must be a whole number between 1 and 60"),
        (["--seed", -1], "--seed: -1: it must be a whole number of at least 0"),
        (["--pair", "no.jpg", "such.jpg"], "--pair no.jpg: there is no such file"),
        (["--out", "x.txt"], "its name must end in"),
    ],
)
def test_mistakes_are_one_line(trained, words, message, attention):
    code, _, errors = attention("--model_dir", trained, *words)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == 1


def test_a_file_that_is_no_image(trained, tmp_path, attention):
    (tmp_path / "a.jpg").write_text("no image")
    code, _, errors = attention("--model_dir", trained, "--pair", tmp_path / "a.jpg", tmp_path / "a.jpg")
    assert code == 2
    assert "a.jpg" in errors


def test_only_one_source(trained, tmp_path):
    run = make_run(tmp_path / "run", tmp_path)
    assert exit_code(lambda: visualize.main(["attention", "--model_dir", str(run), "--query_embeddings", "x"])) == 2
