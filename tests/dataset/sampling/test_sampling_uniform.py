import numpy as np
import pytest
from helpers.identity_labels import labels_of

from dataset.sampling import uniform
from dataset.sampling.uniform import UniformSampler
from model.configuration.loading import check_params
from runtime.errors import UserError


@pytest.mark.parametrize("images", [8, 9, 15, 16, 17, 100])
def test_an_epoch_goes_over_all_images(images):
    sampler = UniformSampler(labels_of([2, images - 2]), 8, seed=3)
    assert sampler.steps_per_epoch == -(-images // 8)
    orders = set()
    for epoch in range(3):
        first = epoch * sampler.steps_per_epoch
        batches = [sampler.batch(step) for step in range(first, first + sampler.steps_per_epoch)]
        for batch in batches:
            assert batch.shape == (8,)
            assert batch.dtype == np.int64
            assert len(set(batch)) == 8
        seen = np.concatenate(batches)
        np.testing.assert_array_equal(np.unique(seen[:images]), np.arange(images))
        orders.add(tuple(seen))
    assert len(orders) == 3


def test_pure_function_of_seed_and_step():
    labels = labels_of([5] * 20)
    one, two = UniformSampler(labels, 12, seed=7), UniformSampler(labels, 12, seed=7)
    forward = [one.batch(step) for step in range(30)]
    for step in reversed(range(30)):
        np.testing.assert_array_equal(two.batch(step), forward[step])
    other = UniformSampler(labels, 12, seed=8)
    assert any((other.batch(step) != forward[step]).any() for step in range(3))


def test_a_batch_may_be_changed_by_who_asked_for_it():
    sampler = UniformSampler(labels_of([3, 3]), 4, seed=0)
    before = sampler.batch(0)
    sampler.batch(0)[:] = -1
    np.testing.assert_array_equal(sampler.batch(0), before)


def test_images_are_equally_likely_in_the_filling_and_everywhere():
    sampler = UniformSampler(labels_of([4, 7]), 4, seed=0)  # 3 batches, of which the last has 1 filling
    epochs = 4000
    counts = np.zeros((3, 4, 11))
    for step in range(3 * epochs):
        counts[step % 3, np.arange(4), sampler.batch(step)] += 1
    expected = epochs / 11
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)  # 5 standard deviations


def test_identities_do_not_matter():
    a, b = UniformSampler(labels_of([2, 8]), 4, seed=1), UniformSampler(labels_of([5, 5]), 4, seed=1)
    np.testing.assert_array_equal(a.batch(5), b.batch(5))


def test_made_from_the_parameters():
    params = check_params({"sampling": "uniform", "batch_p": 3, "batch_k": 4, "seed": 5}, "x")
    labels = labels_of([5, 1, 7])[::-1]
    sampler = uniform.make(labels, params)
    assert (sampler.batch_size, sampler.steps_per_epoch, sampler.images_per_epoch()) == (12, 2, 13)
    assert sampler.shortage() == "1 of them with a single image"
    np.testing.assert_array_equal(sampler.identities[sampler.codes], labels)
    np.testing.assert_array_equal(sampler.counts, [5, 1, 7])


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([4, 3], r"batch_p x batch_k = 8 images.*only 7; lower batch_p or batch_k"),
        ([9], r"1 identities; triplets need at least 2"),
        ([1] * 9, r"no identity of the training set has 2 images"),
    ],
)
def test_no_batch_or_no_triplet(counts, message):
    with pytest.raises(UserError, match=message):
        UniformSampler(labels_of(counts), 8, seed=0)


def test_large_seeds_and_steps():
    sampler = UniformSampler(labels_of([3] * 9), 8, seed=2**31 - 1)
    assert len(set(sampler.batch(10**9))) == 8
    assert (sampler.batch(10**9) != UniformSampler(labels_of([3] * 9), 8, seed=0).batch(10**9)).any()
