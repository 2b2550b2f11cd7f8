"""The compiled training step, for one device or several."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from model.configuration.params import Params
from model.losses.objective import Objective
from model.losses.triplet import AnchorValues
from model.network.build import Network
from model.network.pointwise import gradients_by_products
from model.training.average import WeightAverage
from model.training.curriculum import Phase
from model.training.micro_batches import MicroBatches
from model.training.optimizer import Optimizer
from runtime.errors import UserError


class StepResult(NamedTuple):
    """The result of a step for its whole batch.

    Attributes:
        names: of the scalars; the first is "loss".
        scalars: (S,) float64. One tensor, as each costs its transfer from the device.
        anchors: values of every anchor, (B,) each.
        embeddings: (B, D), the input of the triplet loss.
        labels: (B,).
    """

    names: tuple[str, ...]
    scalars: tf.Tensor
    anchors: AnchorValues
    embeddings: tf.Tensor
    labels: tf.Tensor


class _Outputs(NamedTuple):
    """The result of one replica: the loss is its share, all else is of the whole batch."""

    loss: tf.Tensor
    values: dict[str, tf.Tensor]
    anchors: AnchorValues
    embeddings: tf.Tensor
    labels: tf.Tensor


class TrainStep:
    """The compiled step of the current phase. A new phase compiles a new step.

    Each replica embeds its part of the batch, gathers all embeddings, mines for its own anchors in the whole batch, and
    divides its loss by the count of the whole batch. The losses and gradients of all replicas therefore add up to those
    of one device with the whole batch.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        network: Network,
        objective: Objective,
        optimizer: Optimizer,
        params: Params,
        average: WeightAverage | None = None,
    ) -> None:
        """Raises a UserError when the backbone is frozen at the start and nothing else can learn."""
        self._strategy, self._network, self._objective = strategy, network, objective
        self._optimizer, self._params, self._average = optimizer, params, average
        self._backbone = network.embedder.get_layer("backbone")
        backbone = {id(variable) for variable in self._backbone.trainable_variables}
        variables = [*network.embedder.trainable_variables, *objective.trainable_variables]
        self._of_backbone = [variable for variable in variables if id(variable) in backbone]
        self._others = [variable for variable in variables if id(variable) not in backbone]
        self._micro = MicroBatches(network, params.micro_batch) if params.micro_batch else None
        if params.freeze_backbone_steps and not (objective.trainable_variables or _learn_by_triplets(network)):
            raise UserError(
                f"freeze_backbone_steps: head {params.head!r} has no weights before the triplet loss, and "
                f"classification_weight is 0: nothing would learn; set freeze_backbone_steps to 0, or use another head"
            )
        self._phase: Phase | None = None
        self._compiled: Any = None  # a function of (images, labels, step) to `StepResult` without names
        self._names: tuple[str, ...] = ()  # known once a step is traced

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, step: int, phase: Phase) -> StepResult:
        """One step.

        Args:
            images: (B, H, W, C) uint8, distributed over the replicas.
            labels: (B,) int32, likewise.
            step: the number of steps done before.
            phase: the phase of this step.
        """
        # TensorFlow keeps every Python number that becomes a tensor, but none of NumPy's.
        inputs = images, labels, tf.constant(np.int64(step))
        if self._compiled is None or phase != self._phase:
            self._phase, self._compiled = phase, self._compile(phase)
            if self._strategy.num_replicas_in_sync == 1:  # all batches have one shape: calls need no search for a trace
                self._compiled = self._compiled.get_concrete_function(*inputs)
        outputs = self._compiled(*inputs)
        return StepResult(self._names, *outputs)

    def _compile(self, phase: Phase) -> tf.types.experimental.PolymorphicFunction:
        strategy = self._strategy
        replicas = strategy.num_replicas_in_sync

        @tf.function(jit_compile=self._params.jit_compile)
        def train_step(images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> tuple[Any, ...]:
            at_rest = batch_norm_at_rest(self._backbone) if phase.frozen else contextlib.nullcontext()
            with at_rest, gradients_by_products(self._backbone):
                result = strategy.run(self._replica_step, args=(images, labels, step, phase))
            if replicas > 1:
                loss = strategy.reduce(tf.distribute.ReduceOp.SUM, result.loss, axis=None)
                whole = tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], result)
                result = whole._replace(loss=loss)
            self._names = ("loss", *result.values)
            scalars = tf.stack([tf.cast(value, tf.float64) for value in (result.loss, *result.values.values())])
            return scalars, result.anchors, result.embeddings, result.labels

        return train_step

    def _replica_step(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, phase: Phase) -> _Outputs:
        result, gradients = self._gradients(images, labels, step, phase)
        variables = self._others if phase.frozen else [*self._of_backbone, *self._others]
        norm = self._optimizer.apply(gradients, variables)  # of the sum of the replicas' gradients
        if norm is not None:
            result.values["gradient_norm"] = norm
        if self._average:
            self._average.update(step)
        self._objective.after_step(result.labels, result.embeddings, step)
        return result

    def _gradients(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, phase: Phase
    ) -> tuple[_Outputs, list[tf.Tensor]]:
        """The loss, and its gradients: of the backbone unless it is frozen, then of all else that learns."""
        context = tf.distribute.get_replica_context()
        replicas, network = context.num_replicas_in_sync, self._network

        def all_reduce(x: tf.Tensor) -> tf.Tensor:
            return tf.identity(x) if replicas == 1 else context.all_reduce(tf.distribute.ReduceOp.SUM, x)

        if self._micro:
            features, before = self._micro.forward(images, lambda x: all_reduce(x) / replicas)
        with tf.GradientTape() as tape:
            if self._micro:
                tape.watch(features)
                embeddings, classified = network.of_features(features)
            else:
                embeddings, classified = network.in_training(images)  # (B / replicas, D), (B / replicas, C)
            anchors, apart = None, classified is not embeddings
            if replicas > 1:
                size = embeddings.shape[0]
                anchors = (context.replica_id_in_sync_group * size, size)
                # A gather as a sum of zero-padded rows: its gradient is correct in every strategy.
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
        values["embedding_norm"] = tf.reduce_mean(tf.norm(embeddings, axis=1))
        result = _Outputs(loss, values, of_anchors, embeddings, labels)
        of_backbone = [] if phase.frozen else self._of_backbone  # no gradients for the frozen ones
        if not self._micro:
            return result, tape.gradient(loss, [*of_backbone, *self._others])
        slopes, *others = tape.gradient(loss, [features, *self._others])
        return result, [*self._micro.backward(images, before, slopes, of_backbone), *others]


def _learn_by_triplets(network: Network) -> list[keras.Variable]:
    """The weights of the head on which the triplet loss depends."""
    training = network.training
    head = network.embedder.get_layer("head") if training is None else training.get_layer("head_in_training")
    return keras.Model(head.input, head.outputs[0]).trainable_variables


@contextlib.contextmanager
def batch_norm_at_rest(backbone: keras.Model) -> Iterator[None]:
    """Inside, calls of the backbone use the moving statistics of batch norm and do not change them."""
    learning = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization) and x.trainable]
    for layer in learning:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in learning:
            layer.trainable = True
