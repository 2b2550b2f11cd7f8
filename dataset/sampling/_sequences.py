"""Identities of one sequence, in different PK batches or in the same batch.

A sequence is a video that shows several objects. In ImageNet VID it is a snippet; each of its objects is an identity.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dataset.sampling import ORDER, fill_up, generator


def linked(codes: np.ndarray, sequences: np.ndarray | None) -> np.ndarray:
    """(I,) the group of every identity. A group shares sequences, directly or through other identities.

    Args:
        codes: (N,) identity of every image, as a number 0..I-1; each number occurs.
        sequences: (N,) sequence of every image, empty for none; or None.

    Returns:
        (I,) numbers 0..G-1. G = I if no two identities share a sequence.
    """
    identities = int(codes.max()) + 1
    if sequences is None:
        return np.arange(identities)
    named = sequences != ""
    names, numbers = np.unique(sequences[named], return_inverse=True)
    nodes = identities + len(names)  # a graph of identities and sequences: an image is an edge between its two
    graph = coo_array((np.ones(len(numbers), np.int8), (codes[named], identities + numbers)), shape=(nodes, nodes))
    _, components = connected_components(graph, directed=False)
    return np.unique(components[:identities], return_inverse=True)[1]


def batches_apart(groups: np.ndarray, batch: int) -> int:
    """Batches in an epoch of `apart`, given (I,) group numbers: at least the size of the largest group."""
    return max(-(-len(groups) // batch), int(np.bincount(groups).max()))


def apart(groups: np.ndarray, batch: int, seed: int, epoch: int) -> np.ndarray:
    """An epoch of batches, each with at most one identity per group.

    Every identity gets a place in one batch. Free places are filled at random: first draw a group that is not in the
    batch yet, then one of its identities.

    Args:
        groups: (I,) group of every identity, 0..G-1, with G >= `batch`.
        batch: P, identities in a batch.
        seed, epoch: they determine the order, which is new for each epoch.

    Returns:
        (batches_apart(groups, batch) * P,) identities.
    """
    random = generator(seed, ORDER, epoch)
    batches, sizes = batches_apart(groups, batch), np.bincount(groups)
    members, offsets = np.argsort(groups, kind="stable"), np.cumsum(sizes) - sizes
    # Dealt like cards: identity i goes to batch i mod `batches`. The members of a group are consecutive and no more
    # than `batches`, so no batch gets two of them.
    table = np.full((batch, batches), -1)
    table.reshape(-1)[: len(groups)] = _side_by_side(groups, random)
    table = table.T  # (batches, P)
    for column in range(len(groups) // batches, batch):
        rows = np.flatnonzero(table[:, column] < 0)
        taken = np.sort(groups[table[rows, :column]], axis=1)  # (rows, column)
        # Draw a number among the free groups, then skip the taken ones before it.
        free = random.integers(0, len(sizes) - column, len(rows))
        drawn = free + (taken - np.arange(column) <= free[:, None]).sum(axis=1)
        table[rows, column] = members[offsets[drawn] + random.integers(0, sizes[drawn])]
    # Neighbouring batches have members of the same groups, in the same columns: shuffle both.
    return random.permuted(table[random.permutation(batches)], axis=1).reshape(-1)


def together(groups: np.ndarray, batch: int, seed: int, epoch: int) -> np.ndarray:
    """An epoch of batches with the identities of each group next to each other.

    Every identity gets a place in one batch. A group that does not fit into a batch continues in the next one; random
    other identities fill up the last batch. Arguments as for `apart`, with any number of groups.

    Returns:
        (ceil(I / P) * P,) identities.
    """
    random = generator(seed, ORDER, epoch)
    return fill_up(_side_by_side(groups, random), batch, random)


def _side_by_side(groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(I,) all identities, group after group; groups and their members are in random order."""
    order = random.permutation(len(groups))
    place = random.permutation(int(groups.max()) + 1)
    return order[np.argsort(place[groups[order]], kind="stable")]
