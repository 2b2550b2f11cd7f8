"""What the workers of a training send to each other in a step, read off the traced step, and a model of its time.

Network traffic does not depend on the numbers in a batch: tracing is enough, nothing is computed.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TRACED = 22  # images in the traced batch: no layer has a multiple of 11 channels, so sizes tell what grows with a batch
HOP = 50e-6  # seconds from one machine to the next, without the time for the bytes: TCP in one data centre
FEW = 20e-6  # the same on a network for such work


class Traffic(NamedTuple):
    """What each worker puts into the collectives of a step: the bytes of each collective.

    Attributes:
        gradients: of all weights.
        batch_norm: sums, sums of squares and counts of each layer, and the gradients of the sums.
        rows: bytes per image of the whole batch: embeddings, their gradients, and values of the loss.
        parameters: number of trained weights.
        dimensions: of an embedding.
    """

    gradients: list[int]
    batch_norm: list[int]
    rows: list[int]
    parameters: int
    dimensions: int

    def gather(self, batch: int) -> list[int]:
        """The collectives that grow with the batch."""
        return [size * batch for size in self.rows]


def trace(file: Path, identities: int) -> Traffic:
    """The traffic of a step of a recipe, with synchronised batch norm, as two CPU devices of one process see it."""
    import numpy as np
    import tensorflow as tf

    from model.configuration.loading import load_params
    from model.losses.objective import Objective
    from model.network.build import build_network
    from model.training.curriculum import phase_at
    from model.training.learning_rate import LearningRate
    from model.training.optimizer import make_optimizer
    from model.training.step import TrainStep

    params = load_params(file, ["warm_start_from=null"])
    strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")])
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        network = build_network(params, synchronized=True)
        objective = Objective(
            params,
            identities,
            classified_size=network.classified_size,
            classifier_batch_norm=network.classifier_batch_norm,
        )
        optimizer = make_optimizer(LearningRate(params, 1000), params)
        variables = [*network.embedder.trainable_variables, *objective.trainable_variables]
        optimizer.build_for(network.embedder.get_layer("backbone").trainable_variables, variables)
        step = TrainStep(strategy, network, objective, optimizer, params)

    def share(shape: Sequence[int], kind: tf.DType) -> tf.Tensor:
        rows = [TRACED // replicas, *shape]
        return strategy.experimental_distribute_values_from_function(lambda _: tf.zeros(rows, kind))

    images, labels = share([*params.image_shape, params.image_channels], tf.uint8), share([], tf.int32)
    graph = step._compile(phase_at(params, 0)).get_concrete_function(images, labels, tf.constant(np.int64(0))).graph
    found = [op for op in graph.get_operations() if op.type.startswith("CollectiveReduce")]
    sizes = sorted(op.inputs[0].shape.num_elements() * op.inputs[0].dtype.size for op in found)[::replicas]
    parameters = sum(math.prod(variable.shape) for variable in variables)
    gradients = [size for size in sizes if size == parameters * 4]
    others = [size for size in sizes if size != parameters * 4]
    grow = [size // TRACED for size in others if size % (11 * 4) == 0]
    # The labels are integers, which this strategy adds up without a collective of its own.
    fixed = [size for size in others if size % (11 * 4)]
    return Traffic(gradients, fixed, [4, *grow], parameters, params.embedding_size)


def sent(sizes: Sequence[int], workers: int) -> float:
    """The bytes that each of the workers sends for all-reduces of these sizes: 2 (n - 1) / n of them."""
    return 2 * (workers - 1) / workers * sum(sizes)


def ring(sizes: Sequence[int], workers: int, gbits: float, hop: float = HOP) -> float:
    """Seconds of all-reduces one after the other, each in 2 (n - 1) turns around a ring."""
    return len(sizes) * 2 * (workers - 1) * hop + _seconds(sent(sizes, workers), gbits)


def tree(sizes: Sequence[int], workers: int, gbits: float, hop: float = HOP) -> float:
    """Seconds of all-reduces one after the other, each up and down a tree of the workers."""
    return len(sizes) * 2 * math.ceil(math.log2(workers)) * hop + _seconds(2 * sum(sizes), gbits)


def exchange(sizes: Sequence[int], workers: int, gbits: float, hop: float = HOP) -> float:
    """Seconds of all-gathers (or their gradients, reduce-scatters) around a ring: half of all-reduces."""
    return ring(sizes, workers, gbits, hop) / 2


def _seconds(size: float, gbits: float) -> float:
    return size * 8 / (gbits * 1e9)
