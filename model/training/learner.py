"""Builds what a training needs: network, loss, optimizer and compiled step, on all devices."""

from typing import NamedTuple

import keras
import tensorflow as tf

from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.losses.objective import Objective
from model.network.build import Network, build_network
from model.training.optimizer import BackboneAdam, LearningRate
from model.training.step import TrainStep, make_strategy
from runtime.errors import UserError


class Learner(NamedTuple):
    """A network with everything that trains it."""

    strategy: tf.distribute.Strategy
    network: Network
    objective: Objective
    schedule: LearningRate
    optimizer: BackboneAdam
    train_step: TrainStep

    @property
    def embedder(self) -> keras.Model:
        """The model from images to embeddings, which is used after training."""
        return self.network.embedder

    def summary(self, params: Params) -> str:
        """A log line about the network."""
        replicas = self.strategy.num_replicas_in_sync
        return (
            f"model: {params.model_type}, {params.head}, {self.embedder.count_params():,} parameters, "
            f"{'x'.join(map(str, self.embedder.input_shape[1:]))} pixels to {params.embedding_size} dimensions, "
            f"on {replicas} device{'s' if replicas > 1 else ''}"
        )


def build_learner(params: Params, data: TrainingSet, total: int, *, imagenet: bool) -> Learner:
    """The learner for a training of `total` steps, with initial weights (ImageNet's in the backbone if `imagenet`).

    Raises:
        UserError: when a batch cannot be divided among the devices, weights cannot be loaded, or nothing would learn.
    """
    strategy = make_strategy(params)
    replicas = strategy.num_replicas_in_sync
    if data.sampler.batch_size % replicas:
        raise UserError(
            f"a batch of {data.sampler.batch_size} images cannot be divided among {replicas} devices; change batch_p"
        )
    keras.utils.set_random_seed(params.seed)  # right before the network: equal seeds give equal networks
    with strategy.scope():
        network = build_network(params, synchronized=replicas > 1, imagenet=imagenet)
        model = network.embedder
        objective = Objective(
            params,
            len(data.sampler.identities),
            classified_size=network.classified_size,
            classifier_batch_norm=network.classifier_batch_norm,
        )
        schedule = LearningRate(params, total)
        optimizer = BackboneAdam(schedule, params)
        backbone = model.get_layer("backbone").trainable_variables
        optimizer.build_for(backbone, [*model.trainable_variables, *objective.trainable_variables])
        train_step = TrainStep(strategy, network, objective, optimizer, params)
    return Learner(strategy, network, objective, schedule, optimizer, train_step)
