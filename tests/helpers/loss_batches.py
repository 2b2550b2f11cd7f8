"""Batches for the losses, normal and degenerate, and a loss with its gradient."""

import numpy as np
import tensorflow as tf

from model.losses.triplet import triplet_loss
from runtime import plugins

STRATEGIES = plugins.choices("model.losses.strategies")
DRAWN = "batch_sample"  # its terms are random
MINED = [strategy for strategy in STRATEGIES if strategy not in (DRAWN, "basic")]
MARGINS = [0.0, 0.3, "soft", "none"]


def random_batch(labels, seed=0, dimensions=6):
    return np.array(labels), np.random.default_rng(seed).normal(size=(len(labels), dimensions)).astype(np.float32)


PK = random_batch(np.repeat(range(4), 3))
UNEVEN = random_batch([3, 1, 2, 1, 1, 3, 9, 1, 2, 3, 3, -7], seed=1)
TWINS = [0, 0, 2, 3, 9, 9, 6, 7, 8, 9, 10, 11]  # of PK: two images of one identity are equal, and three of several
LATTICE = np.random.default_rng(2).integers(0, 2, (12, 6)).astype(np.float32)

BATCHES = {
    "pk": PK,
    "uneven": UNEVEN,
    "duplicates": (PK[0], PK[1][TWINS]),
    "uneven duplicates": (UNEVEN[0], UNEVEN[1][TWINS]),
    "tied": (PK[0], LATTICE),
    "uneven tied": (UNEVEN[0], LATTICE),
    "collapsed": (PK[0], PK[1][[0] * 12]),
    "collapsed to 0": (PK[0], np.zeros_like(PK[1])),
    "nearly collapsed": (PK[0], PK[1] * np.float32(1e-3) + np.float32(7.3)),
    "one direction": (PK[0], PK[1] + np.float32(1e3)),
    "one image": random_batch([0]),
    "two images": random_batch([0, 1]),
    "one image each": random_batch([0, 1, 2]),
    "one identity": random_batch([5, 5, 5]),
}


def loss_tensors(strategy, labels, embeddings, margin, metric, **options):
    """The loss, its gradient at the embeddings, and the metrics, of tensors; may be compiled."""
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        loss, figures = triplet_loss(strategy, labels, embeddings, margin, metric, **options)
    return loss, tape.gradient(loss, embeddings), figures


def with_gradient(strategy, labels, embeddings, margin, metric, **options):
    labels, embeddings = tf.constant(labels), tf.constant(embeddings)
    loss, gradient, figures = loss_tensors(strategy, labels, embeddings, margin, metric, **options)
    return float(loss), gradient.numpy(), figures
