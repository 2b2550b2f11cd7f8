"""Memory of the losses, forward and backward, measured in a separate process."""

import sys

import pytest
from helpers.commands import environment, process

STRATEGIES = ["batch_all", "tf_batch_semi_hard", "batch_hard", "hap2s_e"]
LIMITS = {1024: 16, 4096: 70}  # batch size: MB; a single (4096, 4096) float32 matrix has 67
MEASURE = """
import ctypes, sys
import numpy as np, tensorflow as tf
from model.losses.triplet import triplet_loss

def level(key):  # MB
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))

def batch(size):
    embeddings = np.random.default_rng(0).normal(size=(size, 128)).astype(np.float32)
    return tf.constant(embeddings), tf.constant(np.arange(size) // 4)

def measure(strategy, size):
    @tf.function
    def step(embeddings, labels):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss, _ = triplet_loss(strategy, labels, embeddings, 0.2, "euclidean")
        return loss, tape.gradient(loss, embeddings)

    step(*batch(256))  # memory that a process needs once: threads, kernels
    inputs = batch(size)
    concrete = step.get_concrete_function(*inputs)
    ctypes.CDLL(None).malloc_trim(0)  # memory left by the previous measurement
    open("/proc/self/clear_refs", "w").write("5")  # reset the peak
    before = level("VmRSS")
    loss, gradient = concrete(*inputs)
    assert np.isfinite(gradient.numpy()).all()
    return level("VmHWM") - before

for words in sys.argv[1:]:
    strategy, size = words.split()
    print(measure(strategy, int(size)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_is_bounded():
    cases = [(strategy, size) for size in sorted(LIMITS) for strategy in STRATEGIES]
    # One memory pool: with one per thread, glibc keeps what other threads have freed.
    alone = environment() | {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = process("-c", MEASURE, *(f"{strategy} {size}" for strategy, size in cases), env=alone)
    assert done.returncode == 0, done.stderr
    megabytes = dict(zip(cases, map(float, done.stdout.split()), strict=True))
    assert all(1 < megabytes[strategy, size] < LIMITS[size] for strategy, size in cases), megabytes
