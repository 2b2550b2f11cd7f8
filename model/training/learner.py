"""Builds what a training needs: network, loss, optimizer and compiled step, on all devices."""

from typing import NamedTuple

import keras

from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.losses.objective import Objective
from model.network.build import Network, build_network
from model.training.average import WeightAverage
from model.training.cluster import Cluster
from model.training.learning_rate import LearningRate
from model.training.optimizer import Optimizer, make_optimizer
from model.training.start import check_shares
from model.training.step import TrainStep


class Learner(NamedTuple):
    """A network with everything that trains it; `average` only with `ema_decay`."""

    cluster: Cluster
    network: Network
    objective: Objective
    schedule: LearningRate
    optimizer: Optimizer
    train_step: TrainStep
    average: WeightAverage | None

    @property
    def embedder(self) -> keras.Model:
        """The model from images to embeddings that learns."""
        return self.network.embedder

    @property
    def outcome(self) -> Network:
        """The network that is used after training: its weights are averages with `ema_decay`."""
        return self.average.network if self.average else self.network

    def summary(self, params: Params) -> str:
        """A log line about the network."""
        replicas, workers = self.cluster.replicas, self.cluster.workers
        of_workers = f" of {workers.of} workers" if workers else ""
        return (
            f"model: {params.model_type}, {params.head}, {self.embedder.count_params():,} parameters, "
            f"{'x'.join(map(str, self.embedder.input_shape[1:]))} pixels to {params.embedding_size} dimensions, "
            f"on {replicas} device{'s' if replicas > 1 else ''}{of_workers}"
        )


def build_learner(params: Params, data: TrainingSet, total: int, cluster: Cluster, *, imagenet: bool) -> Learner:
    """The learner for a training of `total` steps, with initial weights (ImageNet's in the backbone if `imagenet`).

    Raises:
        UserError: when a batch cannot be divided among the devices, weights cannot be loaded, or nothing would learn.
    """
    check_shares(params, data.sampler.batch_size, cluster.replicas, "devices")
    keras.utils.set_random_seed(params.seed)  # right before the network: equal seeds give equal networks
    with cluster.strategy.scope():
        network = build_network(params, synchronized=cluster.replicas > 1, imagenet=imagenet)
        model = network.embedder
        objective = Objective(
            params,
            len(data.sampler.identities),
            classified_size=network.classified_size,
            classifier_batch_norm=network.classifier_batch_norm,
        )
        schedule = LearningRate(params, total)
        optimizer = make_optimizer(schedule, params)
        backbone = model.get_layer("backbone").trainable_variables
        optimizer.build_for(backbone, [*model.trainable_variables, *objective.trainable_variables])
        average = None
        if params.ema_decay:  # built last: with or without it, equal seeds give equal initial weights
            copy = build_network(params, synchronized=cluster.replicas > 1)
            average = WeightAverage(copy, model, params.ema_decay)
        train_step = TrainStep(cluster.strategy, network, objective, optimizer, params, average)
    return Learner(cluster, network, objective, schedule, optimizer, train_step, average)
