"""Images, seeds and comparisons of the tests of augmentation."""

import numpy as np
import tensorflow as tf
from PIL import Image
from scipy import stats

from model.configuration.loading import check_params

HEIGHT, WIDTH = 48, 64
RANDOM = np.random.default_rng(0)
# Smooth, with every level, and the worst case: what no camera takes.
SMOOTH = np.asarray(
    Image.fromarray(RANDOM.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT), Image.BICUBIC)
)
NOISE = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
SEEDS = np.stack([np.full(1000, 7), np.arange(1000)], axis=1).astype(np.int32)
WARPS = ["scale", "translate", "rotate", "shear", "affine"]
EVERY = [*WARPS, "grayscale", "color_jitter", "horizontal_flip", "random_resized_crop", "random_erasing"]


def params(**values):
    return check_params({"image_size": [HEIGHT, WIDTH], "augmentation": []} | values, "x")


def for_every_seed(function, seeds=SEEDS):
    """function(seed) of every seed, as an array."""
    kind = tf.function(function).get_concrete_function(tf.TensorSpec([2], tf.int32)).output_dtypes
    return tf.function(lambda all_: tf.map_fn(function, all_, fn_output_signature=kind))(tf.constant(seeds)).numpy()


def difference(ours, theirs):
    return np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int))


def is_uniform(values, low, high):
    assert values.min() >= low - 1e-5
    assert values.max() <= high + 1e-5
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3
