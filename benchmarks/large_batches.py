"""Peak memory and time of a training step on a large batch, by the size of its micro-batches. For Linux, on the CPU.

    python -m benchmarks.large_batches
    python -m benchmarks.large_batches '{"batch_p": 256, "micro_batch": 8, "model_type": "resnet_v1_50"}' 2

The second form measures one case in this process: its parameters, and the number of steps.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

CONVNET = {"image_size": 64, "num_channels": 16, "batch_p": 256, "batch_k": 4, "metric": "sqeuclidean"}
SIZES = (None, 512, 256, 128, 64, 32, 16)
STEPS = 5


def measure() -> dict[str, float]:
    """Of a convnet (16 to 128 channels) on 1,024 images of 64x64: megabytes that a step needs, and its seconds."""
    found = {}
    for size in SIZES:
        case = json.dumps(CONVNET | {"micro_batch": size})
        line = [sys.executable, "-m", "benchmarks.large_batches", case, str(STEPS)]
        one = json.loads(subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout)
        found |= {f"micro_batch {size or 'null'}: {name}": value for name, value in one.items()}
    return found


def measure_one(values: dict[str, object], steps: int) -> dict[str, float]:
    """Peak memory of this process, the part of it that steps of training need, and their median time.

    Args:
        values: parameters.
        steps: how many to take; the first one, which also compiles, is not timed if there are several.
    """
    from model.run.devices import prepare

    prepare("cpu")
    import numpy as np
    import tensorflow as tf

    from model.configuration.loading import check_params
    from model.losses.objective import Objective
    from model.network.build import build_network
    from model.training.curriculum import phase_at
    from model.training.learning_rate import LearningRate
    from model.training.optimizer import make_optimizer
    from model.training.step import TrainStep

    params = check_params(values, "benchmark")
    network, objective = build_network(params), Objective(params, params.batch_p)
    optimizer = make_optimizer(LearningRate(params, 1000), params)
    embedder = network.embedder
    optimizer.build_for(embedder.get_layer("backbone").trainable_variables, embedder.trainable_variables)
    step = TrainStep(tf.distribute.get_strategy(), network, objective, optimizer, params)
    shape = (params.batch_p * params.batch_k, *params.image_shape, params.image_channels)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    labels = tf.repeat(tf.range(params.batch_p), params.batch_k)
    before, seconds = _megabytes("VmRSS"), []
    for number in range(steps):
        start = time.perf_counter()
        step(images, labels, number, phase_at(params, number)).scalars.numpy()
        seconds.append(time.perf_counter() - start)
    peak = _megabytes("VmHWM")
    return {"peak MB": peak, "MB of the steps": peak - before, "seconds": statistics.median(seconds[1:] or seconds)}


def _megabytes(what: str) -> float:
    found = re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def main() -> int:
    if len(sys.argv) == 3:
        print(json.dumps(measure_one(json.loads(sys.argv[1]), int(sys.argv[2]))))
        return 0
    argparse.ArgumentParser(prog="python -m benchmarks.large_batches", description=__doc__.splitlines()[0]).parse_args()
    print("\n".join(f"{name:40} {value:10.2f}" for name, value in measure().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
