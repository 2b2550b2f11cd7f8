import threading

import numpy as np
import pytest
from helpers.identity_labels import epoch_of, labels_of

from dataset.sampling.triplets import TripletSampler


def triples_of(sampler, epoch):
    """Those of an epoch's batches, one after another: (steps * T, 3)."""
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
    """Copied, replaced when they are given again, and those of two epochs kept."""
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
        (lambda t: np.where(np.arange(6)[:, None] == 0, t[1], t), "an anchor once"),
        (lambda t: t[:, [0, 0, 2]], "another image of its anchor's"),
        (lambda t: t[:, [0, 2, 2]], "another image of its anchor's"),
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
