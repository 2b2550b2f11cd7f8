"""The head's linear layers as a whitening of the training images' features."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command
from helpers.tiny import make_run

import train
from dataset.loading.checked import load_images
from dataset.loading.pipeline import embedding_batches
from model.configuration.loading import check_params
from model.network.build import build_network
from model.run.restore import restore_model
from model.run.run_folder import RunFolder
from model.training.whitening import check_whitening, whiten
from runtime.errors import UserError

VALUES = {"image_size": 16, "num_channels": [4, 8], "embedding_size": 6, "warm_start_from": "x", "whitening": "start"}


@pytest.fixture
def images(dataset):
    return load_images(dataset / "train.csv", dataset)


def features_of(network, params, images):
    """The feature maps of all training images, in float64: (N, h, w, F)."""
    batches = embedding_batches(images.manifest.files(), images.orientations, params, 7)
    return np.concatenate([network.trunk(batch).numpy() for batch in batches]).astype(float)


@pytest.mark.parametrize(
    ("values", "layers"),
    [
        ({"head": "direct"}, {"embedding": np.mean}),
        ({"head": "direct_normalize", "pooling": "max"}, {"embedding": np.max}),
        ({"head": "cgd", "descriptors": "SM"}, {"reduce_0_S": np.mean, "reduce_1_M": np.max}),
    ],
)
def test_layers_whiten_the_features_that_they_see(images, values, layers):
    params = check_params(VALUES | values, "x")
    network = build_network(params)
    said = whiten(network, params, images)
    assert f"features of {len(images):,} training images" in said
    maps = features_of(network, params, images)
    for name, pool in layers.items():
        pooled = pool(maps, axis=(1, 2))
        kernel, bias = network.embedder.get_layer("head").get_layer(name).get_weights()
        covariance = np.cov(pooled.T, bias=True)
        variances, directions = np.linalg.eigh(covariance)
        variances, directions = variances[::-1][: len(bias)], directions[:, ::-1][:, : len(bias)]
        outputs = pooled @ kernel + bias
        np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-4)
        expected = np.diag(variances / (variances + 1e-3 * variances[0]))
        np.testing.assert_allclose(np.cov(outputs.T, bias=True), expected, atol=1e-3)
        # Which directions: those of the covariance, up to their sign.
        cosines = np.abs(np.sum(directions * kernel, axis=0)) / np.linalg.norm(kernel, axis=0)
        np.testing.assert_allclose(cosines, 1, atol=1e-3)


def test_the_embedding_is_what_the_layers_make_of_it(images):
    params = check_params(VALUES | {"head": "direct"}, "x")
    network = build_network(params)
    whiten(network, params, images)
    batch = tf.constant(np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)), tf.uint8)
    kernel, bias = network.embedder.get_layer("head").get_layer("embedding").get_weights()
    pooled = network.trunk(batch).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(network.embedder(batch), pooled @ kernel + bias, atol=1e-4)


def test_more_dimensions_than_features_are_refused():
    params = check_params(VALUES | {"head": "direct", "embedding_size": 9}, "x")
    with pytest.raises(UserError, match=r"whitening: embedding_size 9 asks for 9 dimensions of 8 pooled features"):
        check_whitening(build_network(params), params)


def test_a_training_ends_with_white_embeddings(trained, dataset, images, tmp_path):
    values = {"warm_start_from": str(trained), "whitening": "both", "head": "direct", "save_checkpoints_steps": 1}
    run = RunFolder(make_run(tmp_path / "run", dataset, **values, train_iterations=2))
    assert train.main(["--model_dir", str(run.folder)]) == 0
    said = [line for line in run.train_log.read_text().splitlines() if "whitening: the head's linear layer" in line]
    assert len(said) == 2
    params = run.load_trained_params()
    files, orientations = images.manifest.files(), images.orientations
    spread = {}
    for step in (0, 1, 2):
        network = build_network(params)
        restore_model(run.checkpoints / f"ckpt-{step}", network.embedder)
        embeddings = np.concatenate([network.embedder(b) for b in embedding_batches(files, orientations, params, 8)])
        spread[step] = np.abs(np.corrcoef(embeddings.T) - np.eye(params.embedding_size)).max()
    assert max(spread[0], spread[2]) < 0.01 < spread[1]
    # What was learned is gone, so that more steps would be of another network.
    told = command("train.py", "--model_dir", run.folder, "--set", "train_iterations=4")
    assert told.returncode == 2
    assert "has ended with a whitening" in told.stderr
    assert run.done.exists()
