"""The traffic of a training step, as the benchmark of many workers reads it off the traced step."""

import json
import math

import pytest
from helpers.commands import ROOT, process

from benchmarks.collectives import exchange, ring, sent, tree

TRACE = """
import json, sys
from pathlib import Path
from model.run.devices import prepare
prepare("cpu")
import tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
from benchmarks.collectives import trace
print(json.dumps(trace(Path(sys.argv[1]), 10)._asdict()))
"""


def test_the_time_of_collectives():
    # 8 workers, two collectives of 1 MB and 3 MB, 10 Gbit/s: 14/8 of 4 MB, and 14 hops for each.
    sizes = [10**6, 3 * 10**6]
    assert sent(sizes, 8) == 7e6
    assert math.isclose(ring(sizes, 8, 10, hop=1e-3), 28e-3 + 5.6e-3)
    assert math.isclose(exchange(sizes, 8, 10, hop=1e-3), 14e-3 + 2.8e-3)
    assert math.isclose(tree(sizes, 8, 10, hop=1e-3), 12e-3 + 6.4e-3)


@pytest.mark.slow
def test_what_a_step_sends():
    done = process("-c", TRACE, ROOT / "params.json")
    traffic = json.loads(done.stdout.splitlines()[-1])
    dimensions = json.loads((ROOT / "params.json").read_text())["embedding_size"]
    assert traffic["gradients"] == [4 * traffic["parameters"]]
    # An image has a label, the seven values of an anchor, an embedding and its gradient.
    assert traffic["rows"] == [4, 4 * 7, 4 * dimensions, 4 * dimensions]
    # Four layers have a sum, a sum of squares and a count each, and the gradients of the first two.
    channels = [16, 32, 64, 128]
    assert traffic["batch_norm"] == sorted(4 * size for size in channels for _ in range(5))
