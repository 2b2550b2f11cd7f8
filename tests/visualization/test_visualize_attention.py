"""`visualize.py data`, `batches`: the input of a network. `attention`: maps for networks with a known answer."""

import re
import shutil

import h5py
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command
from helpers.html_page import Parsed
from helpers.tiny import TINY, make_run
from PIL import Image

from dataset.loading.pipeline import training_batches
from dataset.loading.training_set import load_training_set
from model.configuration.loading import check_params
from model.embedding.hdf5_file import read_embeddings
from model.network.build import build_network
from model.run.run_folder import RunFolder
from visualization.attention.maps import AttentionMaps, ConstantLength, mean_embedding
from visualization.attention.pair_figure import ExplainedPair, draw_pairs
from visualization.attention.pairs import ChosenPair

ATTENTION = ("visualize.py", "attention")
METRICS = ("euclidean", "sqeuclidean", "cosine", "cityblock")


def network(**params):
    tf.keras.utils.set_random_seed(0)  # a kink of a ReLU within a finite difference would fail the comparison
    return build_network(check_params(TINY | {"dataset": "none"} | params, source="test"))


def images(count, side=16):
    """Pairs: (N, 2, H, W, C)."""
    return np.random.default_rng(count).integers(0, 256, (count, 2, side, side, 3), np.uint8)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("head", ["direct", "direct_normalize"])
def test_maps_of_average_pooling_and_a_linear_layer(metric, head):
    model, trunk, *_ = network(head=head, pooling="average")
    dense = model.get_layer("head").get_layer("embedding")
    kernel, bias = np.asarray(dense.get_weights()[0], np.float64), np.linspace(-0.1, 0.1, 8)
    dense.set_weights([kernel, bias])
    pairs, centre = images(3), np.linspace(-1, 1, 8) / 5
    maps, similarity, emb = AttentionMaps(model, metric, centre)(pairs)

    features = np.stack([trunk(pixels) for pixels in pairs]).astype(np.float64)  # (N, 2, h, w, F)
    compared = features.mean((2, 3)) @ kernel + bias  # (N, 2, D)
    lengths = np.linalg.norm(compared, axis=2, keepdims=True)
    if head != "direct_normalize" and metric != "cosine":
        lengths = np.ones_like(lengths)
    compared /= lengths
    linear = features @ kernel / np.prod(features.shape[2:4]) / lengths[..., None, None]  # contribution of each place
    others = compared[:, ::-1]
    weights = np.sign(others - compared) if metric == "cityblock" else others - centre
    np.testing.assert_allclose(maps, np.einsum("nshwd,nsd->nshw", linear, weights), rtol=1e-4, atol=1e-5)
    if metric == "cityblock":
        np.testing.assert_allclose(similarity, -np.abs(compared[:, 0] - compared[:, 1]).sum(1), rtol=1e-4)
        if head == "direct":  # the bias cancels, unless lengths differ
            np.testing.assert_allclose(maps.sum((1, 2, 3)), similarity, rtol=1e-4)
    else:
        constant = np.einsum("nsd,nsd->ns", bias / lengths - centre, weights)
        np.testing.assert_allclose((maps.sum((2, 3)) + constant).T, [similarity] * 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(emb[:, 0], model(pairs[:, 0], training=False), atol=1e-6)


@pytest.mark.parametrize("head", ["cgd", "gem", "fc1024_normalize", "similarity", "bnneck", "direct"])
def test_other_heads_against_finite_differences(head):
    """The map is features times gradient: the effect of small changes of the features at constant lengths."""
    size = 4 if head == "bnneck" else 6
    of_head = {"cgd": {"descriptors": "SMG"}, "direct": {"pooling": "flatten"}}.get(head, {})
    model = network(head=head, image_size=8, num_channels=[3, 4], embedding_size=size, **of_head).embedder
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

    similarity(features)  # fixes the lengths
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
    model = network(head=head).embedder
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
    words = ["--model_dir", trained, "--queries", 3, "--match", "wrong", "--out", out]
    code, printed, errors = command(*ATTENTION, *words)
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
    page = Parsed(out)
    assert "Größe <1> $.jpg" in page.words
    assert len(page.all("img")) == 1

    file = tmp_path / "q.h5"
    words = ["--model_dir", trained, "--dataset", dataset / "test.csv", "--filename", file]
    assert command("embed.py", *words).returncode == 0
    words = ["--query_embeddings", file, "--image_root", dataset, "--show", "best", "--queries", 2, "--lowered"]
    code, printed, errors = command(*ATTENTION, *words)
    assert (code, errors) == (0, "")
    assert (tmp_path / "attention.png").is_file()
    names = re.findall(r"(\S+) +(\S+)  distance ([\d.]+)", printed.replace("id ", "id_"))
    embeddings = read_embeddings(file)
    emb = dict(zip((path.replace("id ", "id_") for path in embeddings.paths), embeddings.emb, strict=True))
    for query, match, distance in names:
        assert float(distance) == pytest.approx(np.linalg.norm(emb[query] - emb[match]), rel=1e-3)
    assert len(names) == 2

    with h5py.File(file, "a") as contents:
        del contents.attrs["checkpoint"]
    assert "does not say which checkpoint made it" in command(*ATTENTION, *words)[2]


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A copy of the finished run."""
    return RunFolder(shutil.copytree(trained, tmp_path_factory.mktemp("visualized") / "run"))


def test_data_shows_what_training_gets(run, monkeypatch):
    pages = []
    monkeypatch.setattr("visualization.data.command.write_cards", lambda page, out: pages.append((page, out)))
    words = ["--model_dir", run.folder, "--step", "2", "--batches", "2"]
    assert command("visualize.py", "data", *words, "--set", 'augmentation=["horizontal_flip"]').returncode == 0
    (page, out) = pages[0]
    assert out == run.folder / "pictures" / "data.html"
    params = run.load_trained_params(['augmentation=["horizontal_flip"]'])
    data = load_training_set(params)
    listed = data.images.manifest
    batches = training_batches(listed.files(), data.images.orientations, data.sampler, params, 2, 4)
    assert len(page.sections) == 2
    flipped = 0
    for section, (images, _, indices) in zip(page.sections, batches, strict=True):
        for place, index in enumerate(indices):  # P = 4 columns, K = 2 images with two rows each
            column, row = divmod(place, 2)
            fed, original = (section.rows[2 * row + below][column] for below in (0, 1))
            assert fed.full.startswith(listed.paths[index])
            assert fed.lines[0] == listed.identities[index]
            shown, before = (np.asarray(card.picture)[::12, ::12] for card in (fed, original))  # 200 // 16
            assert np.array_equal(shown, images[place])
            assert np.array_equal(shown, before) or np.array_equal(shown, before[:, ::-1])
            flipped += not np.array_equal(shown, before)
    assert 0 < flipped < 16


def test_data_of_a_file_of_parameters(run, tmp_path):
    out = tmp_path / "data.png"
    words = ["--params", run.params_json, "--augmented_only", "--out", out, "--set", "sampling=triplets"]
    words += ["--set", "triplet_strategy=basic", "--set", "batch_p=12"]
    assert command("visualize.py", "data", *words).returncode == 0
    with Image.open(out) as picture:
        assert picture.size[0] > 8 * 128  # at most eight columns


def test_hard_triples_are_those_that_the_run_kept(dataset, tmp_path):
    hard = {"sampling": "triplets", "triplet_mining": "hard", "triplet_strategy": "basic"}
    folder = make_run(tmp_path / "run", dataset, **hard)
    assert "choose a --step of the newest epochs" in command("visualize.py", "data", "--model_dir", folder).stderr
    assert command("visualize.py", "data", "--model_dir", folder, "--set", "triplet_mining=random").returncode == 0


def test_batches_are_ranked_within_themselves(run, monkeypatch):
    pages = []
    for name in ("batches", "rankings"):
        monkeypatch.setattr(f"visualization.{name}.command.write_cards", lambda page, out: pages.append(page))
    source = ["--model_dir", run.folder, "--device", "cpu"]
    assert command("visualize.py", "batches", *source, "--checkpoint", "ckpt-2", "--top", "2").returncode == 0
    (section,) = pages[0].sections
    sampler = load_training_set(run.load_trained_params()).sampler
    assert len(section.rows) == len(set(sampler.batch(2)))  # the checkpoint's step; each image is a query
    for query, *ranked in section.rows:
        assert query.lines[0].startswith("query")
        marks = [mark for card in ranked for mark in card.lines[3:]]
        assert sorted(marks) == ["hardest negative", "hardest positive"]
        ranks = [int(re.match(r"rank (\d+)", card.lines[0])[1]) for card in ranked]
        assert ranks == sorted(ranks)
        hardest = next(card for card in ranked if "hardest positive" in card.lines)
        assert hardest.lines[1] == query.lines[1]
    assert command("visualize.py", "batches", *source, "--eval_set", "query_gallery", "--queries", "3").returncode == 0
    assert len(pages[1].sections[0].rows) == 3
    assert command("visualize.py", "rankings", *source, "--eval_set", "query_gallery", "--queries", "4").returncode == 0
    assert "6 against 24" in pages[2].facts["images"]
