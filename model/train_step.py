"""One training step, compiled, on one device or several."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from model.embedder import Network
from model.losses import AnchorFigures
from model.objective import Objective
from model.params import Params


class StepResult(NamedTuple):
    """What a step tells of its whole batch.

    Attributes:
        loss: scalar.
        values: scalars by name.
        figures: of every anchor, (B,) each.
        embeddings: (B, D), what the triplet loss saw.
        labels: (B,).
    """

    loss: tf.Tensor
    values: dict[str, tf.Tensor]
    figures: AnchorFigures
    embeddings: tf.Tensor
    labels: tf.Tensor


def make_strategy(params: Params) -> tf.distribute.Strategy:
    """One device, or all local GPUs (without any, all logical CPU devices)."""
    if params.distribution == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def make_train_step(
    strategy: tf.distribute.Strategy,
    network: Network,
    objective: Objective,
    optimizer: keras.optimizers.Optimizer,
    params: Params,
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], StepResult]:
    """The compiled step: images, labels, number of steps done before (int64) -> StepResult.

    Every replica embeds its part of the batch, gathers the vectors of all, and mines for its own anchors in the
    whole batch; its loss is divided by the whole batch's count. The losses and gradients of the replicas then add up
    to those of one device with the whole batch.
    """
    replicas = strategy.num_replicas_in_sync
    variables = [*network.embedder.trainable_variables, *objective.trainable_variables]

    def replica_step(images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> StepResult:
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            embeddings, classified = network.in_training(images)  # (B / replicas, D), (B / replicas, C)
            if replicas == 1:
                anchors, all_reduce = None, tf.identity
            else:
                size = embeddings.shape[0]
                anchors = (context.replica_id_in_sync_group * size, size)
                all_reduce = lambda x: context.all_reduce(tf.distribute.ReduceOp.SUM, x)  # noqa: E731
                # Zeros around the own rows, then a sum: a gather whose gradient is right on every strategy.
                around = [anchors[0], (replicas - 1) * size - anchors[0]]
                gather = lambda x: all_reduce(tf.pad(x, [around, [0, 0]]))  # noqa: E731
                apart = classified is not embeddings
                embeddings = gather(embeddings)  # (B, D)
                classified = gather(classified) if apart else embeddings  # (B, C)
                labels = all_reduce(tf.pad(labels, [around]))  # (B,)
            loss, values, figures = objective(
                labels,
                embeddings,
                step,
                classified=classified,
                anchors=anchors,
                all_reduce=all_reduce,
                replicas=replicas,
            )
        gradients = tape.gradient(loss, variables)
        optimizer.apply(gradients, variables)  # Keras adds up the replicas' gradients
        objective.after_step(labels, embeddings, step)
        values["embedding_norm"] = tf.reduce_mean(tf.norm(embeddings, axis=1))
        return StepResult(loss, values, figures, embeddings, labels)

    @tf.function(jit_compile=params.jit_compile)
    def train_step(images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> StepResult:
        result = strategy.run(replica_step, args=(images, labels, step))
        if replicas == 1:
            return result
        loss = strategy.reduce(tf.distribute.ReduceOp.SUM, result.loss, axis=None)
        whole = tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], result)
        return whole._replace(loss=loss)

    return train_step
