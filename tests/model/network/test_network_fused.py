"""Batch norm and 1x1 convolutions in other operations than Keras's: the same values, gradients and statistics."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.configuration.params import Params
from model.embedding.embedder import Embedder
from model.network import batch_norm
from model.network.build import build_network
from model.network.pointwise import gradients_by_products
from runtime import plugins

BACKBONES = plugins.choices("model.network.backbones")
LARGE = ("inception_resnet_v2", "resnet_v1_101")
CLOSE = 1e-5


class Passed(NamedTuple):
    outputs: np.ndarray
    gradients: list[np.ndarray]
    statistics: list[np.ndarray]


def layer(**values: object) -> keras.layers.BatchNormalization:
    """A batch norm of 5 channels with weights and statistics of no special value."""
    made = keras.layers.BatchNormalization(**values)
    made.build((None, 4, 3, 5))
    random = np.random.default_rng(0)
    made.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in made.weights])
    return made


def fused(**values: object) -> keras.layers.BatchNormalization:
    made = layer(**values)
    inputs = keras.Input((None, None, 5))
    batch_norm.fuse(keras.Model(inputs, made(inputs)))
    return made


def passed(model: keras.Layer, inputs: np.ndarray, training: bool) -> Passed:
    """Forward and backward of a layer or model, of a loss in which every output has another weight."""
    x = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = model(x, training=training)
        weights = np.random.default_rng(1).normal(size=outputs.shape)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights.astype(np.float32))
    sources = [variable.value for variable in model.trainable_variables]
    gradients = tape.gradient(loss, [x, *sources] if x.dtype.is_floating else sources)
    statistics = [variable.numpy() for variable in model.non_trainable_variables if "moving" in variable.path]
    return Passed(outputs.numpy(), [gradient.numpy() for gradient in gradients], statistics)


def check_close(ours: Passed, theirs: Passed, close: float = CLOSE) -> None:
    """Every array, relative to its largest value."""
    pairs = zip(
        [ours.outputs, *ours.gradients, *ours.statistics],
        [theirs.outputs, *theirs.gradients, *theirs.statistics],
        strict=True,
    )
    assert ours.gradients
    assert max(np.abs(a - b).max() / max(np.abs(b).max(), 0.1) for a, b in pairs) < close


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("values", [{}, {"scale": False}, {"center": False}, {"epsilon": 1.001e-5, "momentum": 0.9}])
@pytest.mark.parametrize("shape", [(6, 4, 3, 5), (2, 1, 1, 5)])
def test_a_fused_layer_is_that_of_keras(shape: tuple[int, ...], values: dict[str, object], training: bool) -> None:
    inputs = np.random.default_rng(2).normal(3.0, 2.0, shape).astype(np.float32)
    check_close(passed(fused(**values), inputs, training), passed(layer(**values), inputs, training))


def test_one_value_has_variance_0() -> None:
    inputs = np.full((1, 1, 1, 5), 3.0, np.float32)
    ours = fused()
    assert np.allclose(ours(inputs, training=True), ours.beta, atol=CLOSE)
    assert np.allclose(ours.moving_variance, layer().moving_variance.numpy() * 0.99, atol=CLOSE)


def test_a_layer_that_does_not_learn_keeps_its_statistics_in_training() -> None:
    inputs = np.random.default_rng(2).normal(3.0, 2.0, (6, 4, 3, 5)).astype(np.float32)
    ours, theirs = fused(), layer()
    ours.trainable = theirs.trainable = False
    before = [weight.numpy() for weight in ours.weights]
    assert np.allclose(ours(inputs, training=True), theirs(inputs, training=True), atol=CLOSE)
    assert all(np.array_equal(a, b) for a, b in zip(before, ours.get_weights(), strict=True))


def test_vectors_are_normalised_by_keras() -> None:
    made = keras.layers.BatchNormalization()
    inputs = keras.Input((5,))
    batch_norm.fuse(keras.Model(inputs, made(inputs)))
    vectors = np.random.default_rng(2).normal(size=(7, 5)).astype(np.float32)
    assert np.allclose(np.mean(made(vectors, training=True), axis=0), 0.0, atol=CLOSE)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in BACKBONES]
)
def test_every_batch_norm_of_a_backbone_is_that_of_keras(name: str) -> None:
    size = 75 if name == "inception_resnet_v2" else 64
    network = build_network(Params(dataset="none", model_type=name, image_size=size, num_channels=[8, 16]))
    random = np.random.default_rng(0)
    different = {}
    for each in network.embedder.get_layer("backbone").layers:
        if isinstance(each, keras.layers.BatchNormalization):
            each.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in each.weights])
            different[each.output.shape, each.epsilon, each.momentum, each.scale] = each
    assert different
    for each in different.values():
        inputs = random.normal(1.0, 2.0, (4, *each.output.shape[1:])).astype(np.float32)
        before = each.get_weights()
        ours = [passed(each, inputs, training) for training in (True, False)]
        each.set_weights(before)
        del each.call
        for mine, training in zip(ours, (True, False), strict=True):
            check_close(mine, passed(each, inputs, training))


@pytest.mark.parametrize("name", ["basic", pytest.param("resnet_v1_50", marks=pytest.mark.slow)])
def test_a_network_is_as_exact_as_with_keras(name: str) -> None:
    """Rounding grows from layer to layer, so both are compared with 64 bits."""
    keras.utils.set_random_seed(0)
    network = build_network(Params(dataset="none", model_type=name, image_size=64, num_channels=[8, 16]))
    ours = network.embedder.get_layer("backbone")

    def copy(each: keras.Layer) -> keras.Layer:
        return each.__class__.from_config(each.get_config() | {"dtype": "float64"})

    theirs = keras.models.clone_model(ours)
    exact = keras.models.clone_model(ours, clone_function=copy)
    theirs.set_weights(ours.get_weights())
    exact.set_weights(ours.get_weights())
    images = np.random.default_rng(0).normal(size=(16, 64, 64, 3)).astype(np.float32)
    with gradients_by_products(ours):
        found = passed(ours, images, training=True)
    others, true = (passed(model, images.astype(model.dtype), training=True) for model in (theirs, exact))

    def error(values: list[np.ndarray], wanted: list[np.ndarray]) -> float:
        squares = [(np.square(a - b).sum(), np.square(b).sum()) for a, b in zip(values, wanted, strict=True)]
        return float(np.sqrt(sum(a for a, _ in squares) / sum(b for _, b in squares)))

    for part in (lambda x: [x.outputs], lambda x: x.gradients, lambda x: x.statistics):
        assert error(part(found), part(true)) < 4.0 * error(part(others), part(true)) + 1e-6


def test_only_inside_the_context_are_gradients_products() -> None:
    model = build_network(Params(dataset="none", model_type="mobilenet_v2", image_size=32)).embedder
    backbone = model.get_layer("backbone")

    def ops() -> list[str]:
        traced = tf.function(lambda x: backbone(x, training=True))
        return [op.type for op in traced.get_concrete_function(tf.TensorSpec((2, 32, 32, 3))).graph.get_operations()]

    with gradients_by_products(backbone):
        assert "IdentityN" in ops()
    assert "IdentityN" not in ops()
    assert "FusedBatchNormV3" in ops()


def test_saved_models_have_the_layers_of_keras() -> None:
    """A .keras file can be opened without this code, and names the layer of Keras."""
    model = build_network(Params(dataset="none", image_size=32, num_channels=[8])).embedder
    config = keras.saving.serialize_keras_object(model)
    classes = str(config).count("'class_name': 'BatchNormalization'")
    assert classes == 1


@pytest.mark.parametrize("name", ["basic", "mobilenet_v2", pytest.param("resnet_v1_50", marks=pytest.mark.slow)])
def test_inference_folds_batch_norm_into_convolutions(name: str) -> None:
    params = Params(dataset="none", model_type=name, image_size=32)
    model = build_network(params).embedder
    backbone, random = model.get_layer("backbone"), np.random.default_rng(0)
    model.set_weights([weight * random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    images = random.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    embedder = Embedder(model, params)
    folded = embedder.forward(images).numpy()
    ops = [op.type for op in embedder.forward.get_concrete_function().graph.get_operations()]
    norms = [layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert ops.count("FusedBatchNormV3") < len(norms)
    plain = model(images, training=False).numpy()  # restored outside
    np.testing.assert_allclose(folded, plain, atol=1e-5 * np.abs(plain).max())
    backbone.get_layer(norms[2].name).gamma.assign_add(tf.ones_like(norms[2].gamma))  # new weights need no new graph
    changed = embedder.forward(images).numpy()
    assert np.abs(changed - folded).max() > 1e-3 * np.abs(plain).max()
    np.testing.assert_allclose(changed, model(images, training=False), atol=1e-5 * np.abs(changed).max())


def test_a_convolution_that_others_read_is_not_scaled() -> None:
    inputs = keras.Input((6, 6, 4))
    wide = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(inputs)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(wide) + wide)
    model.set_weights([np.random.default_rng(0).uniform(0.5, 1.5, x.shape) for x in model.get_weights()])
    images = np.random.default_rng(1).normal(size=(2, 6, 6, 4)).astype(np.float32)
    plain = model(images, training=False).numpy()
    with batch_norm.folded(model):
        np.testing.assert_allclose(model(images, training=False), plain, atol=1e-5)
