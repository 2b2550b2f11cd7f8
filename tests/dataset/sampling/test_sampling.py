"""PK batches, and the common properties of all ways of sampling."""

import hashlib
import threading

import numpy as np
import pytest
from helpers.identity_labels import epoch_of, labels_of

from dataset.sampling.pk import PKSampler
from dataset.sampling.triplets import TripletSampler
from dataset.sampling.uniform import UniformSampler
from runtime.errors import UserError


@pytest.mark.parametrize("counts", [[4] * 12, [1, 2, 3, 4, 5, 6, 7, 8, 9, 30], [5] * 7, [5] * 4])
def test_a_batch_has_p_identities_of_k_images(counts):
    labels = np.random.default_rng(0).permutation(labels_of(counts))
    sampler = PKSampler(labels, 4, 3, seed=1)
    for step in range(50):
        images = sampler.batch(step).reshape(4, 3)
        groups = labels[images]
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == 4
        for own, label in zip(images, groups[:, 0], strict=True):
            assert len(set(own)) == min(3, (labels == label).sum())


@pytest.mark.parametrize("identities", [8, 9, 11, 4])
def test_an_epoch_goes_over_all_identities(identities):
    sampler = PKSampler(labels_of([3] * identities), 4, 2, seed=5)
    assert sampler.steps_per_epoch == -(-identities // 4)
    orders = set()
    for epoch in range(3):
        seen = sampler.codes[epoch_of(sampler, epoch)].reshape(-1, 2)[:, 0]  # the last batch is filled up
        np.testing.assert_array_equal(np.sort(seen[:identities]), np.arange(identities))
        orders.add(tuple(seen))
    assert len(orders) == 3 or identities == 4


def linked_pairs(together):
    """Makes a sampler of 20 identities, two per sequence."""
    sequences = np.repeat(np.arange(10), 10).astype(str).astype(object)
    return lambda labels, seed: PKSampler(labels, 4, 3, seed, sequences, together)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda labels, seed: PKSampler(labels, 4, 3, seed), 12),
        (linked_pairs(together=False), 12),
        (linked_pairs(together=True), 12),
        (lambda labels, seed: UniformSampler(labels, 12, seed), 12),
        (lambda labels, seed: TripletSampler(labels, 6, seed), 18),
    ],
    ids=["pk", "apart", "together", "uniform", "triplets"],
)
def test_pure_function_of_seed_and_step(make, size):
    labels = labels_of([5] * 20)
    one, two, other = make(labels, 7), make(labels, 7), make(labels, 8)
    forward = [one.batch(step) for step in range(40)]
    for step in reversed(range(40)):
        np.testing.assert_array_equal(two.batch(step), forward[step])
    assert any((other.batch(step) != forward[step]).any() for step in range(3))
    assert len({batch.tobytes() for batch in forward}) == 40
    last = make(labels, 2**31 - 1).batch(10**9)
    assert (last.shape, last.dtype) == ((size,), np.int64)
    one.batch(0)[:] = -1  # the caller may change a batch
    np.testing.assert_array_equal(one.batch(0), forward[0])


def test_images_of_an_identity_are_equally_likely():
    sampler = PKSampler(labels_of([7, 2, 3]), 3, 4, seed=0)
    steps = 6000
    counts = np.bincount(np.concatenate([sampler.batch(step) for step in range(steps)]), minlength=12)
    for images, expected in ((slice(0, 7), 4 / 7), (slice(7, 9), 2), (slice(9, 12), 4 / 3)):
        # 5 standard deviations of a binomial count
        assert np.abs(counts[images] - steps * expected).max() < 5 * np.sqrt(steps * 0.25)


def test_cyclic_padding_repeats_evenly():
    sampler = PKSampler(labels_of([3, 3]), 2, 7, seed=0)
    for step in range(20):
        for images in sampler.batch(step).reshape(2, 7):
            assert sorted(np.unique(images, return_counts=True)[1]) == [2, 2, 3]


@pytest.mark.parametrize("images", [8, 9, 15, 16, 17, 100])
def test_uniform_an_epoch_goes_over_all_images(images):
    sampler = UniformSampler(labels_of([2, images - 2]), 8, seed=3)
    assert sampler.steps_per_epoch == -(-images // 8)
    epochs = [epoch_of(sampler, epoch) for epoch in range(3)]
    for batches in epochs:
        assert all(len(set(batch)) == 8 for batch in batches)
        np.testing.assert_array_equal(np.sort(batches.reshape(-1)[:images]), np.arange(images))
    assert len({batches.tobytes() for batches in epochs}) == 3


def test_uniform_images_are_equally_likely_in_the_filling_and_everywhere():
    sampler = UniformSampler(labels_of([4, 7]), 4, seed=0)  # 3 batches, of which the last has 1 filling
    epochs = 4000
    counts = np.zeros((3, 4, 11))
    for step in range(3 * epochs):
        counts[step % 3, np.arange(4), sampler.batch(step)] += 1
    expected = epochs / 11
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)  # 5 standard deviations


def test_uniform_identities_do_not_matter():
    a, b = UniformSampler(labels_of([2, 8]), 4, seed=1), UniformSampler(labels_of([5, 5]), 4, seed=1)
    np.testing.assert_array_equal(a.batch(5), b.batch(5))


NO_TRIPLET = [
    ([9], r"only 1 identity, but triplets need at least 2"),
    ([1] * 9, r"no identity of the training set has 2 images"),
]


@pytest.mark.parametrize(
    ("make", "counts", "message"),
    [
        (lambda labels: PKSampler(labels, 5, 2, seed=0), [3], r"only one identity, but triplets need at least 2"),
        (lambda labels: PKSampler(labels, 5, 2, seed=0), [3] * 4, r"batch_p is 5.*only 4 identities"),
        *((lambda labels: UniformSampler(labels, 8, seed=0), *case) for case in NO_TRIPLET),
        *((lambda labels: TripletSampler(labels, 2, seed=0), *case) for case in NO_TRIPLET),
        (lambda labels: UniformSampler(labels, 8, seed=0), [4, 3], r"= 8 images.*only 7; lower batch_p or batch_k"),
        (lambda labels: TripletSampler(labels, 0, seed=0), [4, 4], r"raise batch_p or batch_k"),
        (lambda labels: TripletSampler(labels, 5, seed=0), [4, 1], r"= 5 triples, but only 4 images can be.*lower"),
    ],
)
def test_no_batch_or_no_triplet(make, counts, message):
    with pytest.raises(UserError, match=message):
        make(labels_of(counts))


def unlinked(labels):
    """Sequences that link no identities: none, empty ones, one per identity, several per identity."""
    several = np.array([f"{label}-{i % 3}" for i, label in enumerate(labels)], dtype=object)
    some = np.where(np.arange(len(labels)) % 2, several, "")
    return [None, np.full(len(labels), "", dtype=object), labels.copy(), several, some]


# Checksums of batches 0 to 199 of the first version, which had no sequences: its runs resume with the same batches.
# Columns: counts, P, K, seed, steps per epoch, start of the checksum.
BEFORE = [
    ([5, 1, 3, 2, 4], 2, 3, 7, 3, "9c0e9ca7b2a7471e"),
    ([3] * 11, 4, 2, 5, 3, "b7d6202593721904"),
    ([2] * 9, 9, 2, 0, 1, "aa20b1a74548774a"),
    ([1, 2, 3, 4, 5, 6, 7, 8, 9, 30], 4, 3, 1, 3, "1f962abc162a9f8e"),
    (np.random.default_rng(0).integers(1, 9, 524), 18, 4, 3, 30, "b5f7876342490e87"),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("counts", "p", "k", "seed", "steps", "checksum"), BEFORE)
def test_unlinked_identities_give_the_batches_of_before(counts, p, k, seed, steps, checksum, together):
    labels = np.random.default_rng(0).permutation(labels_of(counts))
    for sequences in unlinked(labels):
        sampler = PKSampler(labels, p, k, seed, sequences, together)
        assert sampler.steps_per_epoch == steps
        batches = np.concatenate([sampler.batch(step) for step in range(200)]).astype("<i8")
        assert hashlib.sha256(batches.tobytes()).hexdigest().startswith(checksum)
        assert sampler.origin == ("(no two share a sequence: same_snippet_negatives changes nothing)" * together)


def triples_of(sampler, epoch):
    """The triples of an epoch's batches: (steps * T, 3)."""
    return epoch_of(sampler, epoch).reshape(-1, 3)


def other_triples(sampler, labels):
    """Triples of all anchors: the last positive, the first negative."""
    rows = []
    for anchor in sampler.anchors:
        positive = [i for i in np.flatnonzero(labels == labels[anchor]) if i != anchor][-1]
        rows.append((anchor, positive, np.flatnonzero(labels != labels[anchor])[0]))
    return np.array(rows)


@pytest.mark.parametrize("counts", [[4, 4], [5, 1, 1, 2], [3] * 9, [2, 30, 1], [8, 1]])
def test_an_epoch_has_a_triple_for_each_anchor(counts):
    labels = np.random.default_rng(1).permutation(labels_of(counts))
    images_of = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    anchors = [i for i, label in enumerate(labels) if images_of[label] >= 2]
    sampler = TripletSampler(labels, 5, seed=2)
    assert sampler.batch_size == 15
    assert sampler.steps_per_epoch == -(-len(anchors) // 5)
    assert sampler.batch(0).dtype == np.int64
    epochs = [triples_of(sampler, epoch) for epoch in range(20)]
    for flat in epochs:
        anchor, positive, negative = flat.T
        assert (labels[anchor] == labels[positive]).all()
        assert (anchor != positive).all()
        assert (labels[anchor] != labels[negative]).all()
        np.testing.assert_array_equal(np.sort(anchor[: len(anchors)]), anchors)
        assert {tuple(row) for row in flat} == {tuple(row) for row in flat[: len(anchors)]}  # fillings are repeats
        assert all(len(set(batch)) == 5 for batch in anchor.reshape(-1, 5))
    assert len({epoch.tobytes() for epoch in epochs}) == 20


def test_positives_and_negatives_are_equally_likely():
    labels = np.array(["b", "a", "c", "b", "a", "b", "d", "b"], dtype=object)
    sampler = TripletSampler(labels, 6, seed=0)
    epochs = 6000
    triples = np.concatenate([triples_of(sampler, epoch) for epoch in range(epochs)])
    for anchor in sampler.anchors:
        own = triples[triples[:, 0] == anchor]
        assert len(own) == epochs
        positives = [i for i in range(8) if labels[i] == labels[anchor] and i != anchor]
        negatives = [i for i in range(8) if labels[i] != labels[anchor]]
        for column, choices in ((1, positives), (2, negatives)):
            counts = np.bincount(own[:, column], minlength=8)
            assert counts[choices].sum() == epochs
            assert np.abs(counts[choices] - epochs / len(choices)).max() < 5 * np.sqrt(epochs * 0.25)


def test_given_triples_are_used_in_the_epochs_order():
    """They are copied, and replaced when given again; those of two epochs are kept."""
    labels = labels_of([3, 4, 1, 3])
    sampler, plain = TripletSampler(labels, 4, seed=3), TripletSampler(labels, 4, seed=3)
    triples = other_triples(sampler, labels)
    kept = triples.copy()
    sampler.batch(sampler.steps_per_epoch)  # the epoch's random triples are drawn already
    sampler.use(1, triples[::-1])
    triples[:] = 0
    np.testing.assert_array_equal(triples_of(sampler, 0), triples_of(plain, 0))
    for _ in range(2):
        given = {row[0]: tuple(row) for row in kept}
        ours = triples_of(sampler, 1)
        np.testing.assert_array_equal(ours[:, 0], triples_of(plain, 1)[:, 0])
        assert all(tuple(row) == given[row[0]] for row in ours)
        kept[:, 2] = np.where(labels[kept[:, 0]] == "id3", 0, 10)
        for epoch in (0, 1, 1, 2):
            sampler.use(epoch, kept.astype(np.int32))
    assert {tuple(row) for row in triples_of(sampler, 2)} == set(map(tuple, kept))
    for epoch in (0, 3):
        np.testing.assert_array_equal(triples_of(sampler, epoch), triples_of(plain, epoch))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[1:], r"\(6, 3\) integers, not \(5, 3\)"),
        (lambda t: t.astype(float), "float64"),
        (lambda t: t + 100, "indices of the 7"),
        (lambda t: t - 100, "indices of the 7"),
        (lambda t: np.where(np.arange(6)[:, None] == 0, t[1], t), "must be the anchor of one triple"),
        (lambda t: t[:, [0, 0, 2]], "another image of the anchor's"),
        (lambda t: t[:, [0, 2, 2]], "another image of the anchor's"),
        (lambda t: t[:, [0, 1, 1]], "another identity"),
    ],
)
def test_triples_of_other_images(change, message):
    labels = labels_of([3, 3, 1])
    sampler = TripletSampler(labels, 2, seed=0)
    before = epoch_of(sampler, 0)
    with pytest.raises(ValueError, match=message):
        sampler.use(0, change(other_triples(sampler, labels)))
    np.testing.assert_array_equal(epoch_of(sampler, 0), before)


def test_batches_from_a_thread_are_random_or_given_never_mixed():
    labels = labels_of([50] * 4)
    sampler = TripletSampler(labels, 100, seed=0)
    random = sampler.batch(0)
    results, done = [], threading.Event()

    def read():
        while not done.is_set():
            results.append(sampler.batch(0))

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(50):
        sampler.use(0, other_triples(sampler, labels))
    done.set()
    thread.join()
    given = sampler.batch(0)
    assert results
    assert all((batch == random).all() or (batch == given).all() for batch in results)
