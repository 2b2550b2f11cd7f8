import numpy as np
import pytest
from helpers.identity_labels import labels_of

from dataset.sampling.pk import PKSampler
from model.configuration.loading import check_params
from runtime import plugins
from runtime.errors import UserError


@pytest.mark.parametrize("counts", [[4] * 12, [1, 2, 3, 4, 5, 6, 7, 8, 9, 30], [5] * 7, [5] * 4])
def test_a_batch_has_p_identities_of_k_images(counts):
    labels = np.random.default_rng(0).permutation(labels_of(counts))
    sampler = PKSampler(labels, 4, 3, seed=1)
    for step in range(50):
        batch = sampler.batch(step)
        groups = labels[batch].reshape(4, 3)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == 4
        for group, images in zip(groups, batch.reshape(4, 3), strict=True):
            assert len(set(images)) == min(3, (labels == group[0]).sum())


@pytest.mark.parametrize("identities", [8, 9, 11, 4])
def test_an_epoch_goes_over_all_identities(identities):
    sampler = PKSampler(labels_of([3] * identities), 4, 2, seed=5)
    assert sampler.steps_per_epoch == -(-identities // 4)
    orders = []
    for epoch in range(3):
        steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
        seen = np.concatenate([sampler.codes[sampler.batch(step)][::2] for step in steps])
        counts = np.bincount(seen, minlength=identities)
        assert counts.min() == 1
        assert counts.sum() == 4 * sampler.steps_per_epoch
        assert counts.max() <= (1 if identities % 4 == 0 else 2)
        orders.append(tuple(seen))
    assert len(set(orders)) == 3 or identities == 4


def test_pure_function_of_seed_and_step():
    labels = labels_of([5] * 20)
    one, two = PKSampler(labels, 4, 3, seed=7), PKSampler(labels, 4, 3, seed=7)
    forward = [one.batch(step) for step in range(30)]
    for step in reversed(range(30)):
        assert (two.batch(step) == forward[step]).all()
    other = PKSampler(labels, 4, 3, seed=8)
    assert any((other.batch(step) != forward[step]).any() for step in range(3))


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


def test_too_few_identities():
    with pytest.raises(UserError, match=r"batch_p is 5.*only 4 identities"):
        PKSampler(labels_of([3] * 4), 5, 2, seed=0)


def test_large_seeds_and_steps():
    sampler = PKSampler(labels_of([3] * 9), 4, 2, seed=2**31 - 1)
    assert len(sampler.batch(10**9)) == 8


def test_draws_stay_as_they_are():
    # Printed by the first version of this sampler: a run that was started with it goes on with the same batches.
    sampler = PKSampler(labels_of([5, 1, 3, 2, 4]), 2, 3, seed=7)
    assert sampler.batch(0).tolist() == [6, 7, 8, 9, 10, 9]
    assert sampler.batch(2).tolist() == [5, 5, 5, 2, 0, 4]
    assert sampler.batch(1000).tolist() == [10, 9, 10, 5, 5, 5]


def test_made_from_the_parameters():
    params = check_params({"batch_p": 3, "batch_k": 4, "seed": 5}, "x")
    sampler = plugins.load("dataset.sampling", params.sampling).make(labels_of([5, 1, 3, 2, 4]), params)
    assert (sampler.batch_size, sampler.steps_per_epoch) == (12, 2)
    np.testing.assert_array_equal(sampler.batch(3), PKSampler(labels_of([5, 1, 3, 2, 4]), 3, 4, seed=5).batch(3))
    assert sampler.images_per_epoch() == 14
    assert sampler.shortage() == "3 of them with fewer than K = 4"


def test_the_choices_are_ways_of_sampling():
    names = plugins.choices("dataset.sampling")
    assert names == ["pk", "triplets", "uniform"]
    assert all(callable(plugins.load("dataset.sampling", name).make) for name in names)
