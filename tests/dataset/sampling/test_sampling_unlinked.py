"""PK batches of identities that no sequence links are those of the sampler before it knew of sequences."""

import hashlib

import numpy as np
import pytest

from dataset.sampling.pk import PKSampler

# Printed by the sampler as it was before it knew of sequences: counts, P, K, seed, steps of an epoch, and batches.
BEFORE = [
    ([5, 1, 3, 2, 4], 2, 3, 7, 3, {0: [6, 7, 8, 9, 10, 9], 2: [5, 5, 5, 2, 0, 4], 1000: [10, 9, 10, 5, 5, 5]}),
    (
        [3] * 11,
        4,
        2,
        5,
        3,
        {
            0: [18, 20, 4, 5, 7, 6, 22, 23],
            2: [13, 12, 10, 11, 27, 29, 18, 20],
            1000: [19, 18, 9, 10, 25, 26, 13, 14],
        },
    ),
    (
        [2] * 9,
        9,
        2,
        0,
        1,
        {
            0: [0, 1, 12, 13, 14, 15, 10, 11, 16, 17, 2, 3, 6, 7, 4, 5, 8, 9],
            1000: [2, 3, 4, 5, 10, 11, 12, 13, 16, 17, 6, 7, 8, 9, 14, 15, 0, 1],
        },
    ),
    (
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 30],
        4,
        3,
        1,
        3,
        {
            0: [7, 6, 9, 12, 13, 11, 3, 4, 5, 40, 39, 38],
            2: [18, 17, 20, 24, 23, 26, 3, 4, 5, 0, 0, 0],
            1000: [3, 4, 5, 10, 13, 14, 25, 26, 27, 32, 28, 35],
        },
    ),
]


def unlinked(labels):
    """Sequences that link nothing: none, empty ones, one of each identity, several of each identity."""
    several = np.array([f"{label}-{i % 3}" for i, label in enumerate(labels)], dtype=object)
    some = np.where(np.arange(len(labels)) % 2, several, "")
    return [None, np.full(len(labels), "", dtype=object), labels.copy(), several, some]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("counts", "p", "k", "seed", "steps", "batches"), BEFORE)
def test_unlinked_identities_give_the_batches_of_before(counts, p, k, seed, steps, batches, together):
    labels = np.repeat([f"id{i}" for i in range(len(counts))], counts).astype(object)
    for sequences in unlinked(labels):
        sampler = PKSampler(labels, p, k, seed, sequences, together)
        assert sampler.steps_per_epoch == steps
        assert {step: sampler.batch(step).tolist() for step in batches} == batches
        assert sampler.origin() == ("(no two share a sequence: same_snippet_negatives changes nothing)" * together)


def test_many_unlinked_identities_give_the_batches_of_before():
    random = np.random.default_rng(0)
    counts = random.integers(1, 9, 524)
    labels = random.permutation(np.repeat([f"id{i}" for i in range(524)], counts).astype(object))
    for sequences in unlinked(labels):
        sampler = PKSampler(labels, 18, 4, 3, sequences)
        batches = np.concatenate([sampler.batch(step) for step in range(200)]).astype("<i8")
        digest = hashlib.sha256(batches.tobytes()).hexdigest()
        assert digest == "228131f4f218fdfc9d4f41af2e1d44f8b463b283fb349f4b16fddc0a4578ddd3"
