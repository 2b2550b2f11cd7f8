"""Maps of the places in two images that raised their similarity: gradient times activation at the last features.

With A (h, w, F) the features of an image, u its embedding, v that of the other image and c a centre, the similarity is
s = (u - c) . (v - c), and the map of the image is

    M[y, x] = sum over k of  A[y, x, k] * ds/dA[y, x, k]      with v constant,

(Draelos & Carin, Use HiResCAM instead of Grad-CAM, 2020). With average pooling the gradient is the same at all places,
and M is Grad-CAM (Selvaraju et al. 2017) for the similarity; for other heads, whose gradients differ from place to
place, M stays faithful, while Grad-CAM's averages do not. The map is a sum as well as a picture: for a head that is
linear or made of ReLUs in the features, the sum of M over all places is u . (v - c), apart from the biases.

The gradient takes lengths as constants, also inside the head. Otherwise a vector of length 1 has no gradient along
itself: the map of two equal images would be 0, and maps would show how to rotate the vector, not where it comes from.
Cosines are therefore decomposed as by Stylianou et al. (Visualizing Deep Similarity Networks, 2019) and Zhu et al.
(Visual Explanation for Deep Metric Learning, 2019).

s and the distance d: for euclidean and sqeuclidean -d^2 / 2 = s - |u - c|^2 / 2 - |v - c|^2 / 2. Only s depends on both
images. For cosine, u and v are first scaled to length 1, and -d is the same expression. Cityblock has no such product:
there s = -d, and with the gradient of -|u - v| by coordinates the two maps together add up to it.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.distances import find_distance, has_unit_length, is_squared
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.vectors import unit_rows
from model.network.heads import UnitLength
from runtime.errors import UserError
from visualization.attention.pair_figure import ExplainedPair
from visualization.attention.pairs import ChosenPair
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.network import check_finite, load_network


class ConstantLength(keras.layers.Layer):
    """Divides vectors by their lengths, which the gradient takes as constants: (B, D) -> (B, D) float32."""

    def __init__(self) -> None:
        super().__init__(dtype="float32")
        self._unit = UnitLength()

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """The same values as UnitLength."""
        still = tf.stop_gradient(vectors)
        unit = self._unit(still)
        # Along itself: 1 / length, without squares that overflow.
        inverse = tf.math.divide_no_nan(
            tf.reduce_max(tf.abs(unit), axis=-1, keepdims=True), tf.reduce_max(tf.abs(still), axis=-1, keepdims=True)
        )
        return unit + (vectors - still) * inverse


class AttentionMaps:
    """Computes maps with a network. It uses the network's current weights, also those restored later."""

    def __init__(self, embedder: keras.Model, metric: str, centre: np.ndarray | None = None) -> None:
        """Args:
        embedder: from `build_embedder`.
        metric: a module of `model.distances`.
        centre: (D,) c above, such as the gallery's mean (of its embeddings as they are compared); None for 0. No
            effect where the distance is a sum over the dimensions.
        """
        head = embedder.get_layer("head")
        # The tensor that the head is applied to; `head.input` is the one inside the head.
        features = keras.Operation.input.fget(head)
        self._features = keras.Model(embedder.input, features)
        self._head = keras.models.clone_model(head, clone_function=_with_constant_length)
        self._distance, self._squared = find_distance(metric), is_squared(metric)
        self._unit_length, self._unit = has_unit_length(metric), ConstantLength()
        size = embedder.output_shape[-1]
        self._centre = tf.constant(np.zeros(size) if centre is None else centre, tf.float32)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Maps (N, 2, h, w), similarity (N,) and embeddings (N, 2, D) of N pairs of images (N, 2, H, W, C) uint8.

        A map holds the contribution of each place to the similarity; below 0 where a place lowers it.
        """
        count = len(images)
        flat = images.reshape(-1, *images.shape[2:])  # (2 N, H, W, C)
        features = tf.cast(self._features(flat, training=False), tf.float32)  # (2 N, h, w, F)
        with tf.GradientTape() as tape:
            tape.watch(features)
            embeddings = self._head(features, training=False)  # (2 N, D)
            compared = self._unit(embeddings) if self._unit_length else embeddings
            still = tf.stop_gradient(compared)
            others = tf.reshape(tf.reverse(tf.reshape(still, (count, 2, -1)), [1]), still.shape)
            if self._squared:
                weights = others - self._centre
                similarity = tf.einsum("nd,nd->n", still - self._centre, weights)
            else:
                weights = self._distance.slopes(others - still, tf)
                similarity = -tf.reduce_sum(self._distance.of_differences(others - still, tf), axis=1)
            raised = tf.reduce_sum(compared * weights)
        gradient = tape.gradient(raised, features, unconnected_gradients="zero")
        maps = np.sum((features * gradient).numpy(), axis=-1, dtype=np.float64)  # (2 N, h, w)
        emb = embeddings.numpy().reshape(count, 2, -1)
        return maps.reshape(count, 2, *maps.shape[1:]), similarity.numpy()[::2].astype(np.float64), emb


def _with_constant_length(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer itself, with its weights; ConstantLength for a layer that makes vectors of length 1."""
    if isinstance(layer, (UnitLength, keras.layers.UnitNormalization)):
        return ConstantLength()
    return layer


def mean_embedding(emb: np.ndarray, metric: str) -> np.ndarray:
    """The mean of embeddings (N, D), at length 1 if the metric compares them so: (D,) float64."""
    emb = emb.astype(np.float64)
    return (unit_rows(emb) if has_unit_length(metric) else emb).mean(0)


def explain(
    pairs: list[ChosenPair],
    orientations: np.ndarray,
    checkpoint: Path,
    params: Params,
    metric: str,
    embedded: EmbeddedSet | None,
) -> list[ExplainedPair]:
    """The pairs with their maps, computed a few pairs at a time.

    Args:
        pairs: N pairs.
        orientations: (2 N,) EXIF orientations of their files.
        checkpoint, params: of the network.
        metric: a module of `model.distances`.
        embedded: the set whose mean is the centre; None for 0.

    Raises:
        UserError: for a checkpoint of another architecture, or with embeddings that are NaN or infinite.
    """
    params = params.model_copy(update={"precision": "float32"})  # gradients vanish in half precision
    model = load_network(checkpoint, params)
    centre = None if embedded is None else mean_embedding(embedded.gallery.emb, metric)
    if centre is not None and len(centre) != model.output_shape[-1]:
        raise UserError(
            f"{checkpoint}: {model.output_shape[-1]} dimensions, but the file has {len(centre)}; use its own checkpoint"
        )
    compute = AttentionMaps(model, metric, centre)
    files = [file for pair in pairs for file in pair.files]
    explained: list[ExplainedPair] = []
    for batch in embedding_batches(files, orientations, params, 16):
        images = batch.numpy().reshape(-1, 2, *batch.shape[1:])  # (n, 2, H, W, C)
        maps, similarity, emb = compute(images)
        check_finite(checkpoint, emb)
        distances = EmbeddingDistances(emb[:, 0], emb[:, 1], metric)
        rows = np.arange(len(images))
        apart = np.asarray(distances.in_units(distances.pairs(rows, rows)))
        for pair, *values in zip(pairs[len(explained) :], images, maps, apart, similarity, strict=False):
            explained.append(ExplainedPair(pair, *values))
    return explained
