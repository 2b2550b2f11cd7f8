import numpy as np
import pytest
from helpers.identity_labels import labels_of

from dataset.sampling.uniform import UniformSampler


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
