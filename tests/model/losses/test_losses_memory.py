"""The losses' memory: forward and backward, measured in a process of their own."""

import subprocess
import sys

import pytest
from helpers.commands import ROOT, environment

MEASURE = """
import sys
import numpy as np, tensorflow as tf
from model.losses.triplet import triplet_loss

def level(key):  # MB
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))

def batch(size):
    embeddings = np.random.default_rng(0).normal(size=(size, 128)).astype(np.float32)
    return tf.constant(embeddings), tf.constant(np.arange(size) // 4)

strategy, size = sys.argv[1], int(sys.argv[2])

@tf.function
def step(embeddings, labels):
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        loss, _ = triplet_loss(strategy, labels, embeddings, 0.2, "euclidean")
    return loss, tape.gradient(loss, embeddings)

step(*batch(256))  # what a process needs once: threads, kernels
inputs = batch(size)
concrete = step.get_concrete_function(*inputs)
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
before = level("VmRSS")
loss, gradient = concrete(*inputs)
assert np.isfinite(gradient.numpy()).all()
print(level("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize(("size", "limit"), [(4096, 100), (1024, 15)])
@pytest.mark.parametrize("strategy", ["batch_all", "tf_batch_semi_hard", "batch_hard", "hap2s_e"])
def test_memory_is_bounded(strategy, size, limit):
    # One pool of memory: glibc gives each thread one, and keeps what another thread freed.
    line = [sys.executable, "-c", MEASURE, strategy, str(size)]
    done = subprocess.run(
        line, cwd=ROOT, env=environment() | {"MALLOC_ARENA_MAX": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    megabytes = float(done.stdout)
    assert 1 < megabytes < limit
