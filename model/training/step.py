"""One training step, compiled, on one device or several."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras
import tensorflow as tf

from model.configuration.params import Params
from model.losses.objective import Objective
from model.losses.triplet import AnchorValues
from model.network.build import Network
from model.training.curriculum import Phase
from runtime.errors import UserError


class StepResult(NamedTuple):
    """What a step tells of its whole batch.

    Attributes:
        loss: scalar.
        values: scalars by name.
        anchors: values of every anchor, (B,) each.
        embeddings: (B, D), what the triplet loss saw.
        labels: (B,).
    """

    loss: tf.Tensor
    values: dict[str, tf.Tensor]
    anchors: AnchorValues
    embeddings: tf.Tensor
    labels: tf.Tensor


def make_strategy(params: Params) -> tf.distribute.Strategy:
    """One device, or all local GPUs (without any, all logical CPU devices)."""
    if params.distribution == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


class TrainStep:
    """The compiled step of the phase that training is in; another phase is another graph, and the last one is let go.

    Every replica embeds its part of the batch, gathers the vectors of all, and mines for its own anchors in the
    whole batch; its loss is divided by the whole batch's count. The losses and gradients of the replicas then add up
    to those of one device with the whole batch.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        network: Network,
        objective: Objective,
        optimizer: keras.optimizers.Optimizer,
        params: Params,
    ) -> None:
        """Raises a UserError when the backbone is to be frozen and there is nothing else to learn."""
        self._strategy, self._network, self._objective = strategy, network, objective
        self._optimizer, self._params = optimizer, params
        self._backbone = network.embedder.get_layer("backbone")
        backbone = {id(variable) for variable in self._backbone.trainable_variables}
        self._variables = [*network.embedder.trainable_variables, *objective.trainable_variables]
        self._others = [variable for variable in self._variables if id(variable) not in backbone]
        if params.freeze_backbone_steps and not (objective.trainable_variables or _learn_by_triplets(network)):
            raise UserError(
                f"freeze_backbone_steps: head {params.head!r} has no weights before the triplet loss, and there is no "
                f"classification_weight: nothing would learn; set it to 0, or take another head"
            )
        self._phase: Phase | None = None
        self._compiled: Callable[..., StepResult] | None = None

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, step: int, phase: Phase) -> StepResult:
        """One step.

        Args:
            images: (B, H, W, C) uint8, shared among the replicas.
            labels: (B,) int32, likewise.
            step: the number of steps done before.
            phase: what it does.
        """
        if self._compiled is None or phase != self._phase:
            self._phase, self._compiled = phase, self._compile(phase)
        return self._compiled(images, labels, tf.constant(step, tf.int64))

    def _compile(self, phase: Phase) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], StepResult]:
        strategy = self._strategy
        replicas = strategy.num_replicas_in_sync

        @tf.function(jit_compile=self._params.jit_compile)
        def train_step(images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> StepResult:
            with batch_norm_at_rest(self._backbone) if phase.frozen else contextlib.nullcontext():
                result = strategy.run(self._replica_step, args=(images, labels, step, phase))
            if replicas == 1:
                return result
            loss = strategy.reduce(tf.distribute.ReduceOp.SUM, result.loss, axis=None)
            whole = tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], result)
            return whole._replace(loss=loss)

        return train_step

    def _replica_step(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, phase: Phase) -> StepResult:
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync

        def all_reduce(x: tf.Tensor) -> tf.Tensor:
            return tf.identity(x) if replicas == 1 else context.all_reduce(tf.distribute.ReduceOp.SUM, x)

        with tf.GradientTape() as tape:
            embeddings, classified = self._network.in_training(images)  # (B / replicas, D), (B / replicas, C)
            anchors, apart = None, classified is not embeddings
            if replicas > 1:
                size = embeddings.shape[0]
                anchors = (context.replica_id_in_sync_group * size, size)
                # Zeros around the own rows, then a sum: a gather whose gradient is right on every strategy.
                around = [anchors[0], (replicas - 1) * size - anchors[0]]
                embeddings = all_reduce(tf.pad(embeddings, [around, [0, 0]]))  # (B, D)
                classified = all_reduce(tf.pad(classified, [around, [0, 0]])) if apart else embeddings  # (B, C)
                labels = all_reduce(tf.pad(labels, [around]))  # (B,)
            loss, values, of_anchors = self._objective(
                labels,
                embeddings,
                step,
                strategy=phase.strategy,
                classified=classified,
                anchors=anchors,
                all_reduce=all_reduce,
                replicas=replicas,
            )
        variables = self._others if phase.frozen else self._variables  # what is not asked for is not computed
        gradients = tape.gradient(loss, variables)
        self._optimizer.apply(gradients, variables)  # Keras adds up the replicas' gradients
        self._objective.after_step(labels, embeddings, step)
        values["embedding_norm"] = tf.reduce_mean(tf.norm(embeddings, axis=1))
        return StepResult(loss, values, of_anchors, embeddings, labels)


def _learn_by_triplets(network: Network) -> list[keras.Variable]:
    """The head's weights that the triplet loss depends on."""
    training = network.training
    head = network.embedder.get_layer("head") if training is None else training.get_layer("head_in_training")
    return keras.Model(head.input, head.outputs[0]).trainable_variables


@contextlib.contextmanager
def batch_norm_at_rest(backbone: keras.Model) -> Iterator[None]:
    """While it is open, calls of the backbone are traced with the moving statistics, which stay as they are."""
    learning = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization) and x.trainable]
    for layer in learning:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in learning:
            layer.trainable = True
