"""Every head and backbone in every format, with the format's own runtime."""

import io
import tarfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.commands import ROOT
from PIL import Image

from model.configuration.params import Params
from model.exporting.formats import keras as keras_format
from model.exporting.request import load_format
from model.network.build import build_embedder
from runtime import plugins

HEADS = plugins.choices("model.network.heads")
WIDTHS = {"basic": 256, "mobilenet_v1_1_224": 1024, "mobilenet_v2": 1280, "resnet_v1_50": 2048}
SMALL = {"image_size": 16, "num_channels": [8, 12]}


def make_network(images: np.ndarray, model_type: str, head: str, **params: object) -> keras.Model:
    """A random network; its batch norm has the statistics of these images at many contrasts.

    With Keras's initial statistics, a deep random network is almost constant, and with the statistics of the unchanged
    images nearly so. Dividing by such small deviations would amplify rounding errors.
    """
    width = WIDTHS.get(model_type) if "num_channels" not in params else params["num_channels"][-1]
    size = width if head.startswith("bnneck") else 16
    params = {"image_size": 64, "descriptors": "SMG" if head == "cgd" else "SG"} | params
    keras.utils.set_random_seed(0)
    model = build_embedder(Params(model_type=model_type, head=head, embedding_size=size, **params))
    norms = [
        layer
        for part in ("backbone", "head")
        for layer in model.get_layer(part).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for layer in norms:
        layer.momentum = 0.0
    contrasts = np.linspace(0.1, 1, len(images[:32]))[:, None, None, None]
    model((images[:32] * contrasts).astype(np.uint8), training=True)
    return model


def difference(model: keras.Model, images: np.ndarray, format: str, folder: Path, quantize: str | None = None) -> float:
    """The largest difference of a coordinate, divided by the mean length if that is above 1."""
    module = load_format(format)
    path = folder / module.FILE
    module.write(model, path, quantize, images)
    expected = model.predict_on_batch(images)
    found = module.open_model(path)(images)
    assert found.dtype == np.float32
    return float(np.abs(found - expected).max() / max(1, np.linalg.norm(expected, axis=1).mean()))


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def photos(shared_data):
    """100 real photographs (100, 64, 64, 3) uint8."""
    pixels = []
    with tarfile.open(shared_data / "cars196_small" / "cars_train.tar") as archive:
        for member in archive:
            if member.isfile() and len(pixels) < 100:
                image = Image.open(io.BytesIO(archive.extractfile(member).read()))
                pixels.append(np.asarray(image.convert("RGB").resize((64, 64))))
    return np.stack(pixels)


@pytest.mark.parametrize("head", HEADS)
def test_keras_files_hold_every_head(noise, tmp_path, head):
    learned = {"gem_learned": True, "gem_p": 2.5} if head in ("gem", "cgd") else {}
    model = make_network(noise, "basic", head, **SMALL, **learned)
    assert difference(model, noise, "keras", tmp_path) < 1e-5  # Keras does not fuse batch norm
    assert np.ptp(model.predict_on_batch(noise), axis=0).min() > 1e-3  # different images have different embeddings


def test_keras_files_are_compressed_and_name_the_layers_they_need(noise, tmp_path):
    for head, ours in (("direct", False), ("direct_normalize", True)):
        path = tmp_path / f"{head}.keras"
        keras_format.write(make_network(noise, "basic", head, **SMALL), path, None, noise)
        with zipfile.ZipFile(path) as file:
            assert {part.compress_type for part in file.infolist()} == {zipfile.ZIP_DEFLATED}
            assert file.testzip() is None
        assert ("import model.network.heads" in keras_format.usage(path)) == ours
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["direct.keras", "direct_normalize.keras"]


@pytest.mark.parametrize(
    ("format", "preprocess"),
    [
        ("onnx", True),
        pytest.param("onnx", False, marks=pytest.mark.slow),
        pytest.param("litert", True, marks=pytest.mark.slow),
    ],
)
def test_grey_images_into_a_network_of_colour_images(noise, tmp_path, format, preprocess):
    settings = {"image_size": 32, "image_channels": 1, "backbone_stage": 2, "preprocess": preprocess}
    grey = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), np.uint8)
    model = make_network(grey, "resnet_v1_50", "direct", **settings)
    assert difference(model, grey, format, tmp_path) < 1e-4


@pytest.mark.parametrize(
    ("format", "quantize"),
    [
        ("onnx", "float16"),
        ("onnx", "int8"),
        pytest.param("litert", "float16", marks=pytest.mark.slow),
        pytest.param("litert", "int8", marks=pytest.mark.slow),
    ],
)
def test_quantized_files_are_smaller_and_similar(noise, tmp_path, format, quantize):
    model = make_network(noise, "basic", "gem", image_size=16, num_channels=[64, 256])
    file = tmp_path / load_format(format).FILE
    assert difference(model, noise, format, tmp_path) < 1e-5
    whole = file.stat().st_size
    most = 0.03 if quantize == "int8" else 1e-3
    assert 1e-6 < difference(model, noise, format, tmp_path, quantize) < most
    assert file.stat().st_size < (0.4 if quantize == "int8" else 0.6) * whole


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("model_type", WIDTHS)
def test_every_network_in_every_format(photos, tmp_path, model_type, head):
    model = make_network(photos, model_type, head)
    for format in ("onnx", "litert", "savedmodel"):
        assert difference(model, photos, format, tmp_path) < 1e-4, format


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "litert", "savedmodel"])
def test_inception_resnet_v2(photos, tmp_path, format):
    images = photos.repeat(2, 1).repeat(2, 2)
    model = make_network(images, "inception_resnet_v2", "direct_normalize", image_size=128)
    assert difference(model, images, format, tmp_path) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "quantize", "loss"),
    [("onnx", "float16", 0.002), ("litert", "float16", 0.002), ("onnx", "int8", 0.01), ("litert", "int8", 0.01)],
)
def test_accuracy_of_a_quantized_network(shared_data, tmp_path, format, quantize, loss):
    """Recall@1 over 60 characters of Omniglot's evaluation set, each drawing against all others."""
    images, characters = [], []
    with zipfile.ZipFile(shared_data / "omniglot" / "images_evaluation.zip") as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".png"))[:1200]:
            drawing = Image.open(io.BytesIO(archive.read(name))).convert("L").resize((32, 32))
            images.append(np.asarray(drawing)[..., None])
            characters.append(Path(name).parent)
    images = np.stack(images)
    model = keras.saving.load_model(ROOT / "experiments" / "omniglot" / "model" / "model.keras", compile=False)

    def recall(embeddings: np.ndarray) -> float:
        squares = (embeddings.astype(float) ** 2).sum(1)
        distances = squares[:, None] + squares - 2 * embeddings.astype(float) @ embeddings.T
        np.fill_diagonal(distances, np.inf)
        return np.mean([characters[i] == characters[j] for i, j in enumerate(distances.argmin(1))])

    before = recall(model.predict(images, verbose=0))
    assert before > 0.9
    path = tmp_path / load_format(format).FILE
    load_format(format).write(model, path, quantize, images[::12])
    assert abs(recall(load_format(format).open_model(path)(images)) - before) <= loss
