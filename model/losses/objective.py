"""The training loss: the triplet loss, with the memory and the additional terms that the parameters ask for."""

from collections.abc import Callable

import keras
import tensorflow as tf

from model.configuration.params import Params
from model.losses.auxiliary import CenterLoss, Classification, CrossBatchMemory
from model.losses.triplet import AnchorValues, triplet_loss


class Objective:
    """The training loss of a batch, and the variables of its terms.

    Attributes:
        parts: the terms that have variables, by name, for checkpoints.
    """

    def __init__(
        self,
        params: Params,
        identities: int,
        *,
        classified_size: int | None = None,
        classifier_batch_norm: bool = True,
    ) -> None:
        """Args:
        params: the loss's parameters.
        identities: number of training identities; labels are below it.
        classified_size: C, width of the classifier's input; None is `embedding_size`.
        classifier_batch_norm: whether the classifier begins with batch norm.
        """
        self._params = params
        self.parts: dict[str, tf.Module] = {}
        if params.memory_size:
            self.parts["memory"] = CrossBatchMemory(params.memory_size, params.embedding_size, params.warmup_steps)
        if params.classification_weight:
            self.parts["classification"] = Classification(
                params, identities, size=classified_size, batch_norm=classifier_batch_norm
            )
        if params.center_loss_weight:
            self.parts["center_loss"] = CenterLoss(params, identities)

    @property
    def variables(self) -> list[tf.Variable | keras.Variable]:
        """All variables."""
        return [variable for part in self.parts.values() for variable in part.variables]

    @property
    def trainable_variables(self) -> list[tf.Variable | keras.Variable]:
        """The variables that the optimizer changes."""
        return [variable for part in self.parts.values() for variable in part.trainable_variables]

    def __call__(
        self,
        labels: tf.Tensor,
        embeddings: tf.Tensor,
        step: tf.Tensor,
        *,
        strategy: str | None = None,
        classified: tf.Tensor | None = None,
        anchors: tuple[tf.Tensor | int, int] | None = None,
        all_reduce: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
        replicas: int = 1,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor], AnchorValues]:
        """The loss of the whole batch, or a replica's share of it.

        Args:
            labels: (B,) int32, of the whole batch.
            embeddings: (B, D) float32, of the whole batch: the triplet loss's input.
            classified: (B, C) float32, of the whole batch: the classifier's input. None is `embeddings`.
            step: steps done before this one, int64.
            strategy: how triplets are chosen; None is the first of the curriculum.
            anchors, all_reduce: see `triplet_loss`.
            replicas: how many replicas compute the same additional terms; each adds its share of them.

        Returns:
            The loss, scalars of the whole batch for the log, and the values of every anchor.
        """
        params, parts = self._params, self.parts
        share, of_anchors = triplet_loss(
            strategy or params.curriculum[0][1],
            labels,
            embeddings,
            params.margin,
            params.metric,
            batch_all_mean=params.batch_all_mean,
            seed=tf.stack([tf.constant(params.seed, tf.int64), step]),
            memory=parts["memory"].read() if "memory" in parts else None,
            anchors=anchors,
            all_reduce=all_reduce,
        )
        triplet = tf.math.divide_no_nan(tf.reduce_sum(of_anchors.total), tf.reduce_sum(of_anchors.count))
        values = {"triplet_loss": triplet, **of_anchors.monitors()}
        auxiliary = tf.constant(0.0)
        if "classification" in parts:
            entropy, accuracy = parts["classification"](labels, embeddings if classified is None else classified)
            auxiliary += params.classification_weight * entropy
            values |= {"classification_loss": entropy, **accuracy}
        if "center_loss" in parts:
            values["center_loss"] = parts["center_loss"](labels, embeddings)
            auxiliary += params.center_loss_weight * values["center_loss"]
        return share + auxiliary / replicas, values, of_anchors

    def after_step(self, labels: tf.Tensor, embeddings: tf.Tensor, step: tf.Tensor) -> None:
        """Updates that have no gradient: the memory takes in the batch, the centres move."""
        embeddings = tf.stop_gradient(embeddings)
        if "memory" in self.parts:
            self.parts["memory"].add(labels, embeddings, step)
        if "center_loss" in self.parts:
            self.parts["center_loss"].move(labels, embeddings)
