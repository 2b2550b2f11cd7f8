import h5py
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dataset.formats.manifest import read_manifest
from dataset.images import resize
from embed import main
from model.embedding.embedder import Embedder
from model.embedding.hdf5_file import read_embeddings
from model.embedding.views import TestTimeAugmentation, aggregate
from model.network.build import build_embedder
from model.run.restore import restore_model
from model.run.run_folder import RunFolder

# Of 16 x 16 crops in 18 x 18 images: (top, left).
CORNERS = {
    "crop_center": (1, 1),
    "crop_top_left": (0, 0),
    "crop_top_right": (0, 2),
    "crop_bottom_left": (2, 0),
    "crop_bottom_right": (2, 2),
}


def embed(trained, dataset, out, *words):
    line = ["--model_dir", str(trained), "--dataset", str(dataset / "test.csv"), "--filename", str(out)]
    assert main([*line, "--quiet", "--batch_size", "7", *words]) == 0
    return read_embeddings(out)


@pytest.fixture(scope="module")
def params(trained):
    return RunFolder(trained).load_trained_params()


@pytest.fixture(scope="module")
def model(trained, params):
    model = build_embedder(params)
    restore_model(trained / "checkpoints" / "ckpt-4", model)
    return model


@pytest.fixture(scope="module")
def network(model):
    """The trained network as a function of (N, H, W, 3) uint8."""
    return lambda pixels: model(np.ascontiguousarray(pixels), training=False).numpy()


@pytest.fixture(scope="module")
def pixels(dataset):
    """The images of the list at the size that they get before they are cropped: (30, 18, 18, 3) uint8."""
    return np.stack([load(file, (18, 18)) for file in read_manifest(dataset / "test.csv", dataset).files()])


def load(file, shape):
    with Image.open(file) as image:
        return resize(tf.constant(np.asarray(image)), shape).numpy()


def assert_equal(emb, expected):
    np.testing.assert_allclose(emb, expected, rtol=0, atol=2e-6 * np.linalg.norm(expected, axis=-1).mean())


@pytest.mark.parametrize("aggregator", ["mean", "normalized_mean"])
def test_five_crops_and_flips_by_hand(trained, dataset, tmp_path, network, pixels, aggregator):
    found = embed(
        trained, dataset, tmp_path / "o.h5", "--crop_augment", "five", "--flip_augment", "--aggregator", aggregator
    )
    names, variants = [], []
    for name, (top, left) in CORNERS.items():
        crop = pixels[:, top : top + 16, left : left + 16]
        names += [name, f"{name}_flip"]
        variants += [network(crop), network(np.flip(crop, axis=2))]
    assert found.augmentation_types == tuple(names)
    assert_equal(found.emb_aug, np.stack(variants))
    mean = np.mean(np.stack(variants).astype(float), axis=0)
    if aggregator == "normalized_mean":
        mean /= np.linalg.norm(mean, axis=1)[:, None]
    assert_equal(found.emb, mean)
    assert found.attributes["aggregator"] == aggregator


def test_flip_alone(trained, dataset, tmp_path, network):
    found = embed(trained, dataset, tmp_path / "o.h5", "--flip_augment", "--aggregator", "mean")
    plain = np.stack([load(file, (16, 16)) for file in read_manifest(dataset / "test.csv", dataset).files()])
    assert found.augmentation_types == ("original", "flip")
    assert_equal(found.emb_aug, np.stack([network(plain), network(plain[:, :, ::-1])]))


def test_centre_crop_alone(trained, dataset, tmp_path, network, pixels):
    found = embed(trained, dataset, tmp_path / "o.h5", "--crop_augment", "center")
    assert found.augmentation_types == ("crop_center",)
    assert found.emb_aug is None
    assert "aggregator" not in found.attributes
    assert_equal(found.emb, network(pixels[:, 1:17, 1:17]))


def test_avgpool_feeds_the_whole_image(trained, dataset, tmp_path, params, model, pixels):
    found = embed(trained, dataset, tmp_path / "o.h5", "--crop_augment", "avgpool")
    large = build_embedder(params.model_copy(update={"image_size": 18}))
    large.set_weights(model.get_weights())
    assert found.augmentation_types == ("avgpool",)
    assert_equal(found.emb, large(pixels, training=False).numpy())


def test_crops_of_odd_margins_stay_inside():
    images = np.arange(7 * 9).reshape(1, 7, 9, 1)
    five = TestTimeAugmentation("five")
    cut = dict(zip(five.names, five.variants(images, (4, 5)), strict=True))
    assert {variant.shape for variant in cut.values()} == {(1, 4, 5, 1)}
    first = {name: divmod(int(variant[0, 0, 0, 0]), 9) for name, variant in cut.items()}
    assert first == {
        "crop_center": (1, 2),
        "crop_top_left": (0, 0),
        "crop_top_right": (0, 4),
        "crop_bottom_left": (3, 0),
        "crop_bottom_right": (3, 4),
    }


def test_aggregation_is_finite_at_zero():
    values = np.zeros((2, 2, 3), np.float32)
    values[1] = [[1, 2, 3], [-1, -2, -3]]
    np.testing.assert_array_equal(aggregate(values, "normalized_mean"), np.zeros((2, 3)))


def test_the_file_is_as_documented_and_quiet_prints_nothing(trained, dataset, tmp_path, capfd):
    embed(trained, dataset, tmp_path / "o.h5", "--flip_augment", "--aggregator", "mean", "--float16")
    assert capfd.readouterr() == ("", "")
    with h5py.File(tmp_path / "o.h5") as file:
        shapes = {name: (file[name].shape, str(file[name].dtype)) for name in file}
    assert shapes == {
        "emb": ((30, 8), "float16"),
        "emb_aug": ((2, 30, 8), "float16"),
        "augmentation_types": ((2,), "object"),
        "path": ((30,), "object"),
        "identity": ((30,), "object"),
    }


PARTS = [(3, 5), (7, 30), (8, 16), (13, 14), (29, 30)]  # begin and end where a batch does, and inside one


def test_a_part_of_a_list_gets_the_bits_of_the_whole(dataset, params, model):
    """And an image alone."""
    files, upright = read_manifest(dataset / "test.csv", dataset).files(), np.ones(30, np.uint8)
    embedder = Embedder(model, params, TestTimeAugmentation(flip=True))
    whole = np.concatenate(list(embedder.batches(files, upright, batch_size=8)))
    assert whole.shape == (30, 2, 8)
    for start, stop in PARTS:
        part = list(embedder.batches(files, upright, batch_size=8, start=start, stop=stop))
        np.testing.assert_array_equal(np.concatenate(part), whole[start:stop])
    assert list(embedder.batches(files, upright, batch_size=8, start=30)) == []
    alone = Embedder(model, params).embed(files[:1], upright[:1])
    assert_equal(alone, whole[:1, 0])
    # Small networks give equal bits at any place in a batch, so that the numbers of the places are compared.
    embedder.forward = lambda images: tf.range(len(images), dtype=tf.float32)[:, None]
    for start, stop in [(0, 30), *PARTS]:
        part = np.concatenate(list(embedder.batches(files, upright, batch_size=8, start=start, stop=stop)))
        np.testing.assert_array_equal(part[:, 0, 0], np.arange(start, stop) % 8)
