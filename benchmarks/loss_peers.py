"""The contenders of `benchmarks.losses`, and the process that measures one of them.

A contender is forward and backward of one loss on one batch. The settings of a peer make it compute the same as the
strategy it is compared with, as far as possible.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MARGIN = 0.2
METRIC = "euclidean"
DIMENSIONS = 128
IMAGES = 4  # K, images per identity
SETTING = f"{DIMENSIONS} dimensions and length 1, {IMAGES} of each identity, {METRIC} distance, margin {MARGIN}"
TINY = 8  # size of a batch that starts threads and libraries before the measurement

Step = Callable[[], tuple[float, Any]]  # one forward and backward: the loss, and its gradient at the embeddings


class Contender(NamedTuple):
    """One loss to measure.

    Attributes:
        name: its name in the table.
        against: the strategy of ours with the same or the most similar definition; for ours, its own name.
        same: whether the definitions are equal, so the values must agree.
        packages: the packages that it needs.
        build: makes a `Step` from embeddings (B, D) and labels (B,).
        bytes: a rough lower limit of the memory for a batch of B.
    """

    name: str
    against: str
    same: bool
    packages: tuple[str, ...]
    build: Callable[[np.ndarray, np.ndarray], Step]
    bytes: Callable[[int], float]

    @property
    def ours(self) -> bool:
        return self.name == self.against


def contenders(strategies: list[str]) -> list[Contender]:
    """The strategies, followed by their peers."""
    found = [Contender(name, name, True, (), _ours(name), lambda b: 0.0) for name in strategies]
    semi_hard = "batch_semi_hard" if "batch_semi_hard" in strategies else "tf_batch_semi_hard"
    tfa, pml = ("tensorflow-addons",), ("torch", "pytorch-metric-learning")
    peers = [
        Contender("TFA hard", "batch_hard", True, tfa, _tfa("triplet_hard_loss"), lambda b: 0.0),
        Contender("TFA semi-hard", "tf_batch_semi_hard", True, tfa, _tfa("triplet_semihard_loss"), _cube(15)),
        Contender("TFA semi-hard, XLA", "tf_batch_semi_hard", True, tfa, _tfa("triplet_semihard_loss", True), _cube(8)),
        Contender("PML batch-hard miner", "batch_hard", True, pml, _pml("batch_hard"), lambda b: 0.0),
        Contender("PML all triplets", "batch_all", True, pml, _pml("all"), _pml_bytes),
        Contender("PML semi-hard miner", semi_hard, False, pml, _pml("semihard"), _pml_bytes),
    ]
    return found + [peer for peer in peers if peer.against in strategies]


def _cube(bytes_per_triple: float) -> Callable[[int], float]:
    return lambda b: bytes_per_triple * b**3


def _pml_bytes(b: int) -> float:
    """The size of a mask of B x B x B bytes, or, if 32 bits cannot count them, of the indices of all triplets."""
    return b**3 if b**3 < 2**31 - 1 else 60.0 * b * (IMAGES - 1) * (b - IMAGES)


def make_batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (B, D) of length 1, and labels (B,). Those of one identity are a little closer than others."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(size // IMAGES), IMAGES)
    centres = random.normal(size=(size // IMAGES, DIMENSIONS))
    embeddings = centres[labels] + 2.0 * random.normal(size=(size, DIMENSIONS))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), labels.astype(np.int64)


def _tensorflow_step(loss: Callable, embeddings: np.ndarray, labels: np.ndarray, xla: bool = False) -> Step:
    import tensorflow as tf

    @tf.function(jit_compile=xla)
    def step(embeddings: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tape.gradient(value, embeddings)

    inputs = tf.constant(embeddings), tf.constant(labels)
    traced = step.get_concrete_function(*inputs)  # trace now, as tracing is not part of a step

    def run() -> tuple[float, Any]:
        value, gradient = traced(*inputs)
        return float(value), gradient

    return run


def _ours(strategy: str) -> Callable[[np.ndarray, np.ndarray], Step]:
    def build(embeddings: np.ndarray, labels: np.ndarray) -> Step:
        from model.losses.triplet import triplet_loss

        return _tensorflow_step(lambda y, x: triplet_loss(strategy, y, x, MARGIN, METRIC)[0], embeddings, labels)

    return build


def _tfa(function: str, xla: bool = False) -> Callable[[np.ndarray, np.ndarray], Step]:
    def build(embeddings: np.ndarray, labels: np.ndarray) -> Step:
        tests = str(Path(__file__).resolve().parent.parent / "tests")
        if tests not in sys.path:
            sys.path.append(tests)  # importing it needs a helper of the tests
        from helpers.tensorflow_addons_oracle import load_triplet_losses

        loss = getattr(load_triplet_losses(), function)
        return _tensorflow_step(lambda y, x: loss(y, x, MARGIN, distance_metric="L2"), embeddings, labels, xla)

    return build


def _pml(mining: str) -> Callable[[np.ndarray, np.ndarray], Step]:
    def build(embeddings: np.ndarray, labels: np.ndarray) -> Step:
        import torch
        from pytorch_metric_learning import distances, losses, miners, reducers

        # The embeddings have length 1 already, and ours do not normalise either.
        euclidean = distances.LpDistance(normalize_embeddings=False, p=2)
        miner = {
            "all": lambda: None,
            "semihard": lambda: miners.TripletMarginMiner(MARGIN, type_of_triplets="semihard", distance=euclidean),
            "batch_hard": lambda: miners.BatchHardMiner(distance=euclidean),
        }[mining]()
        # The default reducer averages over the triplets with a loss, as batch_all does; batch_hard averages over all.
        reducer = reducers.MeanReducer() if mining == "batch_hard" else reducers.AvgNonZeroReducer()
        loss = losses.TripletMarginLoss(MARGIN, distance=euclidean, reducer=reducer)
        inputs, targets = torch.tensor(embeddings, requires_grad=True), torch.tensor(labels)

        def run() -> tuple[float, Any]:
            inputs.grad = None
            value = loss(inputs, targets, miner(inputs, targets) if miner else None)
            value.backward()
            return value.item(), inputs.grad

        return run

    return build


def build(names: list[str], name: str, size: int, threads: int) -> Step:
    """Runs in the process of one contender: its step for one batch size."""
    contender = next(c for c in contenders(names) if c.name == name)
    _use_threads(threads, torch="torch" in contender.packages)
    contender.build(*make_batch(TINY))()
    step = contender.build(*make_batch(size))

    def run() -> tuple[float, Any]:
        loss, gradient = step()
        return loss, np.asarray(gradient)

    return run


def _use_threads(threads: int, torch: bool) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if torch:
        import torch as library

        library.set_num_threads(threads)
        return
    from model.run.devices import prepare

    prepare("cpu")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
