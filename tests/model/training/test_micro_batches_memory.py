"""Peak memory of a training step, measured in separate processes."""

import json
import sys

import pytest
from helpers.commands import environment, process

CASE = {"image_size": 64, "num_channels": 16, "batch_p": 128, "batch_k": 4}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_follows_the_micro_batch():
    def megabytes(**values):
        done = process("-m", "benchmarks.large_batches", json.dumps(CASE | values), 2, env=environment())
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["MB of the steps"]

    whole = megabytes()
    assert whole > 300
    assert megabytes(micro_batch=128) < 0.5 * whole
    assert megabytes(micro_batch=16) < 0.25 * whole
