"""Identities that come from one sequence: kept apart in PK batches, or brought together.

A sequence is a video, where it shows several objects: on ImageNet VID a snippet, and an identity is one of its objects.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dataset.sampling import ORDER, fill_up, generator


def linked(codes: np.ndarray, sequences: np.ndarray | None) -> np.ndarray:
    """Numbers the groups of identities that share sequences, directly or through other identities.

    Args:
        codes: (N,) identity of every image, as a number 0..I-1; each of them comes.
        sequences: (N,) sequence of every image; an empty one links nothing. None for no sequences at all.

    Returns:
        (I,) the group 0..G-1 of every identity. G = I where no two identities share a sequence.
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
    """Batches of an epoch of `apart`: the largest group (of (I,) group numbers) needs as many as it has members."""
    return max(-(-len(groups) // batch), int(np.bincount(groups).max()))


def apart(groups: np.ndarray, batch: int, seed: int, epoch: int) -> np.ndarray:
    """An epoch of batches in which no two identities are of one group.

    Every identity comes in one batch; batches are filled up with other ones: each time a group that is not in the
    batch yet is drawn, and one of its identities.

    Args:
        groups: (I,) group of every identity, 0..G-1, with G >= `batch`.
        batch: P, identities in a batch.
        seed, epoch: the order is a pure function of them, and new for each epoch.

    Returns:
        (batches_apart(groups, batch) * P,) identities.
    """
    random = generator(seed, ORDER, epoch)
    batches, sizes = batches_apart(groups, batch), np.bincount(groups)
    members, offsets = np.argsort(groups, kind="stable"), np.cumsum(sizes) - sizes
    # Dealt out like cards: number i to batch i mod `batches`. A group's members follow one another and are not more
    # than the batches, so no batch gets two of them.
    table = np.full((batch, batches), -1)
    table.reshape(-1)[: len(groups)] = _side_by_side(groups, random)
    table = table.T  # (batches, P)
    for column in range(len(groups) // batches, batch):
        rows = np.flatnonzero(table[:, column] < 0)
        taken = np.sort(groups[table[rows, :column]], axis=1)  # (rows, column)
        # A number among the groups that are not taken, then the taken ones before it stepped over.
        free = random.integers(0, len(sizes) - column, len(rows))
        drawn = free + (taken - np.arange(column) <= free[:, None]).sum(axis=1)
        table[rows, column] = members[offsets[drawn] + random.integers(0, sizes[drawn])]
    # Neighbouring batches have members of the same groups, in the same columns: shuffle both.
    return random.permuted(table[random.permutation(batches)], axis=1).reshape(-1)


def together(groups: np.ndarray, batch: int, seed: int, epoch: int) -> np.ndarray:
    """An epoch of batches in which the identities of one group stand side by side.

    Every identity comes in one batch. A group that does not fit into what is left of a batch goes on in the next one;
    the last batch is filled up with other identities, drawn at random. Arguments as for `apart`, except that any
    number of groups will do.

    Returns:
        (ceil(I / P) * P,) identities.
    """
    random = generator(seed, ORDER, epoch)
    return fill_up(_side_by_side(groups, random), batch, random)


def _side_by_side(groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """All identities, group after group; groups and their members in a random order: (I,)."""
    order = random.permutation(len(groups))
    place = random.permutation(int(groups.max()) + 1)
    return order[np.argsort(place[groups[order]], kind="stable")]
