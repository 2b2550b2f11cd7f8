"""Training step and embedding of whole networks, compared with PyTorch in eager mode and with a matrix product.

    python -m benchmarks.network_steps
    python -m benchmarks.network_steps --networks basic --sizes 64x64x64 --rounds 3

Every contender runs in a process of its own, and they take turns. PyTorch has the same layers and the same batch; the
ratio is with the faster of its two layouts. The rate of the multiplications of convolutions is compared with that of a
large matrix product in the same precision. With a GPU, our steps also run with XLA.
"""

import argparse
import importlib.util
import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from benchmarks.processes import NotRunError, Worker
from runtime.parallel import cores

EMBEDDING = 128
IMAGES = 4  # K, images per identity
SIZES = ((16, 256, 128), (64, 64, 64))
NETWORKS = ("basic", "mobilenet_v2", "resnet_v1_50")
PRECISIONS = ("float32", "mixed_bfloat16")
_TURN = 1.0  # seconds, at least, of one turn
_START = 300.0  # seconds, at most, to build and trace


class Case(NamedTuple):
    """What is measured: a network, the shape of a batch (B, H, W), a precision, and whether it trains or embeds."""

    model_type: str
    shape: tuple[int, int, int]
    precision: str
    training: bool

    def __str__(self) -> str:
        work = "train" if self.training else "embed"
        return f"{work:6}{self.model_type:14}{'x'.join(map(str, self.shape)):>12}  {self.precision:15}"


def make_batch(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images (B, H, W, 3) uint8 of noise, and labels (B,)."""
    images = np.random.default_rng(0).integers(0, 256, (*case.shape, 3)).astype(np.uint8)
    return images, np.arange(len(images), dtype=np.int32) // IMAGES


def build(case: Case, xla: bool, threads: int) -> Callable[[], float]:
    """Our step: as in a training with batch hard and Adam, or as in an embedding."""
    from model.run.devices import prepare

    prepare()
    import tensorflow as tf

    from model.configuration.loading import check_params
    from model.training.cluster import Cluster
    from model.training.curriculum import phase_at
    from model.training.learner import build_learner

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    size, *image_size = case.shape
    setting = {
        "model_type": case.model_type,
        "image_size": image_size,
        "embedding_size": EMBEDDING,
        "triplet_strategy": "batch_hard",
        "margin": "soft",
        "batch_p": size // IMAGES,
        "batch_k": IMAGES,
        "precision": case.precision,
        "jit_compile": xla,
    }
    params = check_params(setting, "benchmark")
    array, identities = make_batch(case)
    images, labels = tf.constant(array), tf.constant(identities)
    data = SimpleNamespace(sampler=SimpleNamespace(batch_size=size, identities=range(size)))
    learner = build_learner(params, data, 1000, Cluster(params), imagenet=False)
    if not case.training:
        embed = tf.function(lambda images: learner.embedder(images, training=False), jit_compile=xla)
        return lambda: float(tf.reduce_sum(embed(images)))
    phase, steps = phase_at(params, 0), itertools.count()
    return lambda: float(learner.train_step(images, labels, next(steps), phase).scalars[0])


def multiply_adds(case: Case) -> float:
    """Multiplications of the convolutions for an image; a training step has three times as many."""
    import keras

    from model.configuration.params import Params
    from model.network.build import build_network

    _, height, width = case.shape
    params = Params(dataset="none", model_type=case.model_type, image_size=[height, width], embedding_size=EMBEDDING)
    total = 0
    for layer in build_network(params).embedder.get_layer("backbone").layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            _, rows, columns, _ = layer.output.shape
            total += rows * columns * math.prod(layer.kernel.shape)
    return total * (3 if case.training else 1)


def product(precision: str, threads: int) -> Callable[[], float]:
    """A product of two matrices of 2048 x 2048: 2048^3 multiplications."""
    from model.run.devices import prepare

    prepare()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    square = tf.cast(tf.random.normal((2048, 2048)), tf.float32 if precision == "float32" else tf.bfloat16)
    multiply = tf.function(lambda: tf.matmul(square, square)[0, 0])
    return lambda: float(multiply())


def measure(case: Case, rounds: int, threads: int) -> dict[str, list[float]]:
    """Seconds of each round, in the same rounds, by contender; those that do not run are missing."""
    ours = {"ours": (build, (case, False, threads))}
    if _has_gpu():
        ours["ours, XLA"] = (build, (case, True, threads))
    contenders = ours | {"product": (product, (case.precision, threads))}
    if importlib.util.find_spec("torch"):
        from benchmarks import torch_networks

        for name, channels_last in (("PyTorch", False), ("PyTorch, channels last", True)):
            contenders[name] = (torch_networks.build, (case, channels_last, threads))
    workers: dict[str, Worker] = {}
    try:
        calls, seconds = {}, {}
        for name, (make, arguments) in contenders.items():
            workers[name] = Worker(make, arguments)
            workers[name].ask(None, _START)
            workers[name].ask(("time", 1), _START)  # traced and compiled
            calls[name] = math.ceil(_TURN / workers[name].ask(("time", 2), _START))
            seconds[name] = []
        for _ in range(rounds):
            for name in contenders:
                seconds[name].append(workers[name].ask(("time", calls[name]), _START))
        return seconds
    finally:
        for worker in workers.values():
            worker.close()


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def row(case: Case, seconds: dict[str, list[float]]) -> dict[str, object]:
    """The figures of a case: images per second, ratios with their smallest and largest, share of the product's rate."""
    times = {name: np.array(values) for name, values in seconds.items()}
    ours = times["ours"]
    found: dict[str, object] = {
        "work": "train" if case.training else "embed",
        "network": case.model_type,
        "images": list(case.shape),
        "precision": case.precision,
    }
    found |= {
        f"{name}, images/s": case.shape[0] / float(np.median(x)) for name, x in times.items() if name != "product"
    }
    peers = [x for name, x in times.items() if name.startswith("PyTorch")]
    if peers:
        ratios = min(peers, key=np.median) / ours
        found |= {"ratio": float(np.median(ratios)), "spread": [float(ratios.min()), float(ratios.max())]}
    rate = case.shape[0] * multiply_adds(case) / ours
    return found | {"share of product": float(np.median(rate / (2048**3 / times["product"])))}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network_steps", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="model_type (default: all three)")
    parser.add_argument(
        "--sizes", nargs="+", metavar="BxHxW", default=["x".join(map(str, size)) for size in SIZES],
        help="images of a batch, height, width (default: 16x256x128 64x64x64)")  # fmt: skip
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS, help="default: both")
    parser.add_argument(
        "--works", nargs="+", default=["train", "embed"], choices=["train", "embed"], help="default: both"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender (default: 5)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of each (default: all cores)")
    args = parser.parse_args()
    from model.run.devices import prepare

    prepare()
    print(f"{'':50}{'ours':>9}{'PyTorch':>9}{'ratio':>8}{'spread':>13}  share of the matrix product")
    for network, size, precision, work in itertools.product(args.networks, args.sizes, args.precisions, args.works):
        case = Case(network, tuple(map(int, size.split("x"))), precision, work == "train")
        try:
            line = row(case, measure(case, args.rounds, args.threads))
        except NotRunError as reason:
            print(f"{case} {reason}")
            continue
        rates = {name: value for name, value in line.items() if name.endswith("images/s")}
        ours, peer = rates.pop("ours, images/s"), max((v for n, v in rates.items() if n[0] == "P"), default=math.nan)
        low, high = line.get("spread", [math.nan, math.nan])
        ratio, share = line.get("ratio", math.nan), line["share of product"]
        print(f"{case} {ours:9.1f}{peer:9.1f}{ratio:8.2f}{low:7.2f}{high:6.2f}{share:8.2f}", flush=True)


if __name__ == "__main__":
    main()
