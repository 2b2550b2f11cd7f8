"""Batches for the losses, sound and degenerate, and a loss with its gradient."""

import numpy as np
import tensorflow as tf

from model.losses.triplet import triplet_loss
from runtime import plugins

STRATEGIES = plugins.choices("model.losses.strategies")
DRAWN = ["batch_sample"]  # the one whose terms are random
MARGINS = [0.0, 0.3, "soft", "none"]


def random_batch(labels, seed=0, dimensions=6):
    return np.array(labels), np.random.default_rng(seed).normal(size=(len(labels), dimensions)).astype(np.float32)


def changed(batch, function):
    labels, embeddings = batch
    embeddings = embeddings.copy()
    function(embeddings)
    return labels, embeddings


PK = random_batch(np.repeat(range(4), 3))
UNEVEN = random_batch([3, 1, 2, 1, 1, 3, 9, 1, 2, 3, 3, -7], seed=1)


def duplicates(e):
    e[1] = e[0]  # of one identity
    e[5] = e[4] = e[9]  # of several


def lattice(e):
    e[:] = np.random.default_rng(2).integers(0, 2, e.shape)


def far_away(e):
    e *= 1e-3
    e += 7.3


BATCHES = {
    "pk": PK,
    "uneven": UNEVEN,
    "duplicates": changed(PK, duplicates),
    "uneven duplicates": changed(UNEVEN, duplicates),
    "tied": changed(PK, lattice),
    "uneven tied": changed(UNEVEN, lattice),
    "collapsed": changed(PK, lambda e: e.__setitem__(slice(None), e[0])),
    "collapsed to 0": changed(PK, lambda e: e.fill(0)),
    "nearly collapsed": changed(PK, far_away),
    "one direction": changed(PK, lambda e: e.__iadd__(1e3)),
    "one image each": random_batch([0, 1, 2]),
    "one identity": random_batch([5, 5, 5]),
}


def with_gradient(strategy, labels, embeddings, margin, metric, **options):
    variable = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss, figures = triplet_loss(strategy, tf.constant(labels), variable, margin, metric, **options)
    return float(loss), tape.gradient(loss, variable).numpy(), figures
