"""Identities that share a sequence: in different PK batches, or in the same batch."""

import numpy as np
import pytest
from helpers.identity_labels import epoch_of

from dataset.formats.manifest import read_manifest, write_manifest
from dataset.loading.training_set import load_training_set
from dataset.sampling._sequences import linked
from dataset.sampling.pk import PKSampler
from model.configuration.loading import check_params
from runtime import plugins
from runtime.errors import UserError

K = 2

# Identities of each sequence, and P: the sizes of ImageNet VID, one batch, one more than a batch, large sequences.
SHAPES = [
    ([3, 1, 5, 4, 1, 1, 2, 3, 1, 4, 2, 5], 6),
    ([3, 1, 2, 2, 3, 1], 3),
    ([3, 4, 1, 2, 5], 5),
    ([1, 1, 1, 1], 4),
    ([2, 1, 1, 1], 4),
    ([14, 1, 2, 1, 3], 4),
    ([9, 1, 1], 3),
    ([12, 12, 1, 1, 1], 3),
    ([4] * 20, 7),
]


def data_of(sizes, images=3):
    """Labels and sequences of the images, shuffled: (N,), (N,)."""
    names = [(f"s{s}/{i}", f"s{s}") for s, size in enumerate(sizes) for i in range(size)]
    rows = np.random.default_rng(4).permutation(np.repeat(np.array(names, dtype=object), images, axis=0))
    return rows[:, 0], rows[:, 1]


def identities_of(sampler, epoch):
    """The identities of an epoch's batches: (steps, P)."""
    return sampler.codes[epoch_of(sampler, epoch)[:, ::K]]


def sequence_of(sampler):
    """The sequence of every identity: (I,)."""
    return np.array([identity.split("/")[0] for identity in sampler.identities])


@pytest.mark.parametrize(("sizes", "p"), SHAPES)
def test_apart_no_batch_has_two_of_a_sequence(sizes, p):
    labels, sequences = data_of(sizes)
    sampler = PKSampler(labels, p, K, 3, sequences)
    own = sequence_of(sampler)
    assert sampler.steps_per_epoch == max(-(-sum(sizes) // p), max(sizes))
    assert sampler.batch_size == p * K
    for epoch in range(20):
        batches = identities_of(sampler, epoch)
        assert all(len(set(own[batch])) == p for batch in batches)
        assert np.bincount(batches.reshape(-1), minlength=sum(sizes)).min() >= 1


@pytest.mark.parametrize(("sizes", "p"), SHAPES)
def test_together_siblings_are_side_by_side(sizes, p):
    labels, sequences = data_of(sizes)
    sampler = PKSampler(labels, p, K, 3, sequences, same_snippet_negatives=True)
    own, identities = sequence_of(sampler), sum(sizes)
    assert sampler.steps_per_epoch == -(-identities // p)
    for epoch in range(20):
        batches = identities_of(sampler, epoch)
        assert all(len(set(batch)) == p for batch in batches)
        order = batches.reshape(-1)[:identities]
        np.testing.assert_array_equal(np.sort(order), np.arange(identities))
        assert (own[order][1:] != own[order][:-1]).sum() == len(sizes) - 1  # each sequence is one stretch
        # So only the ends of batches can separate some of the I - G pairs of neighbouring siblings.
        neighbours = sum(int((own[batch][1:] == own[batch][:-1]).sum()) for batch in batches)
        assert neighbours >= identities - len(sizes) - (sampler.steps_per_epoch - 1)


def test_the_order_of_the_images_does_not_order_the_sequences():
    """The place of a sequence in the list does not determine its place in an epoch."""
    labels, sequences = data_of([2] * 6)
    sampler = PKSampler(labels, 4, K, 0, sequences, same_snippet_negatives=True)
    firsts = np.array([identities_of(sampler, epoch)[0, 0] for epoch in range(3000)])
    assert np.abs(np.bincount(firsts, minlength=12) - 250).max() < 5 * np.sqrt(250)


def test_apart_siblings_are_in_any_two_batches_and_places():
    labels, sequences = data_of([2] * 20)
    sampler = PKSampler(labels, 10, K, 0, sequences)
    own, between, same_place = sequence_of(sampler), np.zeros(4), 0
    for epoch in range(200):
        order = identities_of(sampler, epoch).reshape(-1)
        pairs = np.argsort(own[order], kind="stable").reshape(-1, 2)  # (20, 2) places in the epoch
        between += np.bincount(pairs[:, 1] // 10 - pairs[:, 0] // 10, minlength=4)
        same_place += (pairs[:, 1] % 10 == pairs[:, 0] % 10).sum()
    # 4 batches make 6 pairs: 3 pairs are neighbours, 2 have one batch between them, 1 has two.
    np.testing.assert_allclose(between / 4000, [0, 1 / 2, 1 / 3, 1 / 6], atol=0.06)
    assert same_place / 4000 == pytest.approx(1 / 10, abs=0.03)


def test_the_filling_is_fair():
    # 8 batches of 3; 11 of the 24 places are filled up. A batch with the large sequence and another has 5 - 2 to draw.
    labels, sequences = data_of([8, 1, 2, 1, 1])
    sampler, epochs = PKSampler(labels, 3, K, 0, sequences), 2000
    own = sequence_of(sampler)
    counts = np.zeros(13)
    for epoch in range(epochs):
        counts += np.bincount(identities_of(sampler, epoch).reshape(-1), minlength=13)
    large, small, pair = (counts[own == name] / epochs for name in ("s0", "s1", "s2"))
    np.testing.assert_allclose(large, 1, atol=1e-9)  # it is already in each of the 8 batches
    assert small[0] == pytest.approx(counts[own == "s3"][0] / epochs, rel=0.05)
    assert small[0] == pytest.approx(counts[own == "s4"][0] / epochs, rel=0.05)
    assert pair[0] == pytest.approx(pair[1], rel=0.05)
    assert pair.sum() > small[0] > pair[0]


def test_identities_are_linked_through_several_sequences():
    # a and b meet in 1, b and c in 2, e and f in 4; d has sequences of its own, g and h have none.
    pairs = ["a1", "b1", "b2", "c2", "c3", "d5", "d6", "e4", "f4", "f", "g", "h"]
    names, codes = np.unique([pair[0] for pair in pairs], return_inverse=True)
    groups = linked(codes, np.array([pair[1:] for pair in pairs], dtype=object))
    members = {frozenset(names[groups == group]) for group in range(5)}
    assert members == {frozenset("abc"), frozenset("d"), frozenset("ef"), frozenset("g"), frozenset("h")}
    labels = np.array([pair[0] for pair in pairs], dtype=object)
    sampler = PKSampler(labels, 5, K, 0, np.array([pair[1:] for pair in pairs], dtype=object))
    for step in range(30):
        assert len(set(groups[sampler.codes[sampler.batch(step)][::K]])) == 5


def test_too_few_sequences():
    labels, sequences = data_of([3, 2, 4])
    with pytest.raises(UserError) as error:
        PKSampler(labels, 4, K, 0, sequences)
    assert "batch_p is 4, but the 9 identities of the training set are from only 3 separate sequences" in str(
        error.value
    )
    assert "lower batch_p or set same_snippet_negatives to true" in str(error.value)
    assert PKSampler(labels, 3, K, 0, sequences).steps_per_epoch == 4
    assert PKSampler(labels, 4, K, 0, sequences, same_snippet_negatives=True).steps_per_epoch == 3
    with pytest.raises(UserError, match="only 9 identities"):
        PKSampler(labels, 10, K, 0, sequences, same_snippet_negatives=True)


def test_only_pk_looks_at_sequences():
    assert plugins.choices("dataset.sampling") == ["pk", "triplets", "uniform"]
    labels, sequences = data_of([3, 2, 4, 1])
    values = {"batch_p": 4, "batch_k": K}
    for sampling in ("triplets", "uniform"):
        make = plugins.load("dataset.sampling", sampling).make
        params = check_params(values | {"sampling": sampling}, "x")
        linked_or_not = [make(labels, params, given) for given in (None, sequences)]
        np.testing.assert_array_equal(*(epoch_of(sampler, 0) for sampler in linked_or_not))
        with pytest.raises(UserError, match="same_snippet_negatives needs sampling 'pk'"):
            check_params(values | {"sampling": sampling, "same_snippet_negatives": True}, "x")
    make = plugins.load("dataset.sampling", "pk").make
    for together, words in (
        (False, "at most one identity of each in a batch"),
        (True, "identities of one sequence together"),
    ):
        params = check_params(values | {"same_snippet_negatives": together}, "x")
        assert words in make(labels, params, sequences).origin


@pytest.mark.parametrize(
    ("identities", "values", "words"),
    [
        (2, {}, "of 3 separate sequences, at most one identity of each in a batch; an epoch is 3 steps"),
        (
            2,
            {"same_snippet_negatives": True},
            "of 3 separate sequences, identities of one sequence together; an epoch is 3 steps",
        ),
        (
            2,
            {"rotated_identities": True},
            "of 3 separate sequences, at most one identity of each in a batch; an epoch is 12 steps",
        ),
        (1, {}, "identities (0 of them with fewer than K = 2); an epoch"),
    ],
)
def test_the_summary_names_the_sequences(own_dataset, identities, values, words):
    """`siblings` identities, with 5 images each, share one sequence."""
    manifest = read_manifest(own_dataset / "train.csv", own_dataset)
    rows = enumerate(zip(manifest.identities, manifest.paths, strict=True))
    write_manifest(own_dataset / "train.csv", [(*row, "", f"s{i // (5 * identities)}") for i, row in rows])
    params = check_params({"dataset": str(own_dataset), "batch_p": 2, "batch_k": 2} | values, "x")
    assert words in load_training_set(params).summary()
