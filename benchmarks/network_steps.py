"""Training step and embedding of whole networks, and their contenders: PyTorch in eager mode, and a matrix product.

PyTorch has the same layers and the same batch. The multiplications of convolutions are compared with those of a large
matrix product in the same precision. With a GPU, our steps also run with XLA.
"""

import importlib.util
import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from benchmarks.processes import in_turn

EMBEDDING = 128
IMAGES = 4  # K, images per identity
NETWORKS = ("basic", "mobilenet_v2", "resnet_v1_50")
PRECISIONS = ("float32", "mixed_bfloat16")


class Case(NamedTuple):
    """What is measured: a network, the shape of a batch (B, H, W), a precision, and whether it trains or embeds."""

    model_type: str
    shape: tuple[int, int, int]
    precision: str
    training: bool

    def __str__(self) -> str:
        return f"{self.model_type}, {'x'.join(map(str, self.shape))}, {self.precision}"


def make_batch(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images (B, H, W, 3) uint8 of noise, and labels (B,)."""
    images = np.random.default_rng(0).integers(0, 256, (*case.shape, 3)).astype(np.uint8)
    return images, np.arange(len(images), dtype=np.int32) // IMAGES


def build(case: Case, xla: bool, threads: int) -> Callable[[], float]:
    """Our step: as in a training with batch hard and Adam, or as in an embedding."""
    from model.run.devices import prepare

    prepare()
    import tensorflow as tf

    from model.configuration.loading import check_params
    from model.embedding.embedder import Embedder
    from model.training.cluster import Cluster
    from model.training.curriculum import phase_at
    from model.training.learner import build_learner

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    size, *image_size = case.shape
    setting = {
        "model_type": case.model_type,
        "image_size": image_size,
        "embedding_size": EMBEDDING,
        "triplet_strategy": "batch_hard",
        "margin": "soft",
        "batch_p": size // IMAGES,
        "batch_k": IMAGES,
        "precision": case.precision,
        "jit_compile": xla,
    }
    params = check_params(setting, "benchmark")
    array, identities = make_batch(case)
    images, labels = tf.constant(array), tf.constant(identities)
    data = SimpleNamespace(sampler=SimpleNamespace(batch_size=size, identities=range(size)))
    learner = build_learner(params, data, 1000, Cluster(params), imagenet=False)
    if not case.training:
        embed = tf.function(Embedder(learner.embedder, params).forward, jit_compile=xla)
        return lambda: float(tf.reduce_sum(embed(images)))
    phase, steps = phase_at(params, 0), itertools.count()
    return lambda: float(learner.train_step(images, labels, next(steps), phase).scalars[0])


def multiply_adds(case: Case) -> float:
    """Multiplications of the convolutions for an image; a training step has three times as many."""
    import keras

    from model.configuration.params import Params
    from model.network.build import build_network

    _, height, width = case.shape
    params = Params(dataset="none", model_type=case.model_type, image_size=[height, width], embedding_size=EMBEDDING)
    total = 0
    for layer in build_network(params).embedder.get_layer("backbone").layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            _, rows, columns, _ = layer.output.shape
            total += rows * columns * math.prod(layer.kernel.shape)
    return total * (3 if case.training else 1)


def product(precision: str, threads: int) -> Callable[[], float]:
    """A product of two matrices of 2048 x 2048: 2048^3 multiplications."""
    from model.run.devices import prepare

    prepare()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    square = tf.cast(tf.random.normal((2048, 2048)), tf.float32 if precision == "float32" else tf.bfloat16)
    multiply = tf.function(lambda: tf.matmul(square, square)[0, 0])
    return lambda: float(multiply())


def measure(case: Case, rounds: int, threads: int) -> dict[str, list[float]]:
    """Seconds of each round, by contender; PyTorch only if it is installed."""
    ours = {"ours": (build, (case, False, threads))}
    if _has_gpu():
        ours["ours, XLA"] = (build, (case, True, threads))
    contenders = ours | {"product": (product, (case.precision, threads))}
    if importlib.util.find_spec("torch"):
        from benchmarks import torch_networks

        for name, channels_last in (("PyTorch", False), ("PyTorch, channels last", True)):
            contenders[name] = (torch_networks.build, (case, channels_last, threads))
    return in_turn(contenders, rounds)


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
