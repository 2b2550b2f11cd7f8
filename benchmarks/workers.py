"""What limits a training on many workers: measured shares of one worker, and the computed cost of the network.

    python -m benchmarks.workers                                          # writes benchmarks/workers_benchmark.md
    python -m benchmarks.workers --most 4 --repeats 1 --out runs          # a quick look

Each worker has 64 images of the batch. Its input and its mining are measured here, one worker at a time, as if the
others did the same on machines of their own. The traffic is read off the traced step of recipes.
"""

import argparse
import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.collectives import FEW, HOP, Traffic, exchange, ring, sent, trace, tree
from benchmarks.input_pipeline import make_photographs
from benchmarks.processes import machine, memory_of, reset_peak
from model.run.devices import prepare
from runtime import plugins
from runtime.files import replace_file
from runtime.parallel import cores

SHARE = 64  # images of a batch on each worker
IMAGES = 4  # K, images per identity
SIZE = (256, 128)  # height and width of the images, as in person re-identification
DIMENSIONS = (128, 512, 2048)
RECIPES = {"market1501_mobilenetv2_hard": 751, "market1501_trinet": 751, "cars196_cgd_sg": 98}  # training identities
PLANNED = (8, 16, 32, 64, 128, 256)  # workers
SPEEDS = (10, 100)  # Gbit/s
ROOM = 8e9  # bytes of a device that mining may take
TENTH = 0.1  # of the network's time that mining may take


def best(action: Callable[[], object], repeats: int) -> float:
    """The fewest seconds of some calls, as if all cores worked all the time: other processes do not add to it."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        times.append((time.process_time() - start) / cores())
    return min(times)


def mining(workers: int, dimensions: int) -> Callable[[], np.ndarray]:
    """A worker's forward and backward of batch hard, for its 64 anchors in a batch of 64 from each worker."""
    import tensorflow as tf

    from model.losses.triplet import triplet_loss

    batch = SHARE * workers
    labels = tf.constant(np.arange(batch) // IMAGES)
    points = np.random.default_rng(0).normal(size=(batch, dimensions)).astype(np.float32)
    embeddings = tf.constant(points / np.linalg.norm(points, axis=1, keepdims=True))

    @tf.function
    def step(embeddings: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss, _ = triplet_loss("batch_hard", labels, embeddings, "soft", "euclidean", anchors=(0, SHARE))
        return tape.gradient(loss, embeddings)

    traced = step.get_concrete_function(embeddings)  # tracing is not part of a step
    return lambda: traced(embeddings).numpy()


def mine(workers: int, dimensions: int, repeats: int) -> float:
    """Seconds of the mining of a worker."""
    step = mining(workers, dimensions)
    step()
    return best(step, repeats)


def peak_of_mining(workers: int, dimensions: int) -> int:
    """Bytes above the level before the first call; needs a process of its own, since memory is kept for later calls."""
    prepare("cpu")
    mining(1, dimensions)()
    step = mining(workers, dimensions)
    before = reset_peak() or 0
    step()
    return memory_of("self", "VmHWM") - before


def feed(workers: int, files: list[str], labels: np.ndarray, repeats: int) -> float:
    """Seconds in which a worker decodes and augments its 64 images."""
    from dataset.loading.pipeline import training_batches
    from dataset.sampling import pk
    from model.configuration.loading import check_params

    params = check_params(
        {"image_size": list(SIZE), "batch_p": SHARE * workers // IMAGES, "batch_k": IMAGES, "check_images": "off"},
        "benchmark",
    )
    sampler, steps = pk.make(labels, params), 12
    orientations = np.ones(len(files), np.uint8)
    batches = iter(training_batches(files, orientations, sampler, params, 0, steps * (repeats + 1), slice(0, SHARE)))
    for _ in range(steps):  # start of threads
        next(batches)
    return best(lambda: [next(batches) for _ in range(steps)], repeats) / steps


def compute(recipe: str, repeats: int) -> float:
    """Seconds of forward and backward of the network for an image of a recipe, in a batch of 16."""
    import tensorflow as tf

    from model.configuration.loading import load_params
    from model.network.build import build_network

    params = load_params(plugins.ROOT / "experiments" / recipe / "params.json", ["warm_start_from=null"])
    network, size = build_network(params), 16
    weights = network.embedder.trainable_variables

    @tf.function
    def step(images: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network.in_training(images)[0])
        return tape.gradient(loss, [weight.value for weight in weights])

    images = tf.zeros([size, *params.image_shape, params.image_channels], tf.uint8)
    step(images)
    return best(lambda: step(images)[0].numpy(), repeats) / size


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table; the first column is text."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def digits(value: float) -> str:
    """A number with two or three digits."""
    return f"{value:,.{max(0, 1 - math.floor(math.log10(max(value, 1e-3))))}f}" if value < 100 else f"{value:,.0f}"


def measured(fed: dict[int, float], mined: dict[tuple[int, int], float], networks: dict[str, float]) -> str:
    """Images per second of all workers together, part by part."""
    minings, of = (f"mining, D = {d}" for d in DIMENSIONS), (f"network of {name}" for name in networks)
    head = ["workers", "batch", "input", *minings, *of]
    rows = []
    for n, seconds in fed.items():
        parts = [seconds, *(mined[n, d] for d in DIMENSIONS)]
        network = [n / each for each in networks.values()]
        rows.append([n, f"{n * SHARE:,}", *(f"{x:,.0f}" for x in (*(n * SHARE / part for part in parts), *network))])
    return table(head, rows)


def mining_table(mined: dict[tuple[int, int], float], peaks: dict[int, int]) -> str:
    counts = sorted({n for n, _ in mined})
    rows = [[n, f"{n * SHARE:,}", *(f"{digits(mined[n, d] * 1e3)} ms" for d in DIMENSIONS)] for n in counts]
    rows.append(["peak of memory", rows[-1][1], *(f"{digits(peaks[d] / 1e6)} MB" for d in DIMENSIONS)])
    return table(["workers", "batch", *(f"D = {d}" for d in DIMENSIONS)], rows)


def bytes_table(traffic: dict[str, Traffic]) -> str:
    head = ["recipe", "weights", "gradients", "batch norm", "its collectives", "gather, per 1,000 images", "all-gather"]
    rows = []
    for name, t in traffic.items():
        moved = [2 * sum(sizes) / 1e6 for sizes in (t.gradients, t.batch_norm, t.gather(1000))]
        cells = [f"{digits(x)} MB" for x in (*moved, moved[-1] / 2)]
        rows.append([name, f"{t.parameters:,}", *cells[:2], len(t.batch_norm), *cells[2:]])
    return table(head, rows)


def plan(t: Traffic, gbits: float) -> str:
    """Milliseconds of the parts of a step for each number of workers."""
    head = ["workers", "batch", "sent, MB", "gradients", "gather", "as all-gather"]
    head, rows = [*head, "batch norm, ring", "tree", "tree, 20 µs"], []
    for n in PLANNED:
        gather = t.gather(n * SHARE)
        every = sent([*t.gradients, *t.batch_norm, *gather], n) / 1e6
        seconds = (
            ring(t.gradients, n, gbits),
            ring(gather, n, gbits),
            exchange(gather, n, gbits),
            ring(t.batch_norm, n, gbits),
            tree(t.batch_norm, n, gbits),
            tree(t.batch_norm, n, gbits, FEW),
        )
        rows.append([n, f"{n * SHARE:,}", digits(every), *(digits(x * 1e3) for x in seconds)])
    return table(head, rows)


def limits(results: dict[str, Any]) -> str:
    """The largest batches by time, memory and traffic: mining grows with the batch, the rest of a worker does not."""
    mined, most = results["mined"], max(n for n, _ in results["mined"])
    tenth, room, moved = "mining takes a tenth of the network's time", "mining takes 8 GB", "gather = gradients, bytes"
    head, rows = ["recipe", "D", tenth, room, moved], []
    for name, t in results["traffic"].items():
        near = min(DIMENSIONS, key=lambda each: abs(each - t.dimensions))
        scale = t.dimensions / near / (most * SHARE)  # both grow with D and with the batch
        by_time = TENTH * results["networks"][name] * SHARE / (mined[most, near] * scale)
        by_room = ROOM / (results["peaks"][near] * scale)
        by_bytes = sum(t.gradients) / sum(t.rows)
        sizes = (f"{round(x, 1 - int(math.log10(x))):,.0f}" for x in (by_time, by_room, by_bytes))
        rows.append([name, t.dimensions, *sizes])
    return table(head, rows)


def page(results: dict[str, Any], args: argparse.Namespace) -> str:
    traffic, mined, networks = results["traffic"], results["mined"], results["networks"]
    plans = "\n\n".join(f"{name}, {gbits} Gbit/s:\n\n{plan(traffic[name], gbits)}"
                        for name in list(RECIPES)[1:] for gbits in SPEEDS)  # fmt: skip
    return f"""# Limits of a training on many workers

`python -m benchmarks.workers` writes this page. [docs/distributed.md](../docs/distributed.md) draws the conclusions.

- Measured: {machine(cores())}; processor time divided by the cores, best of {args.repeats}.
  One worker, with {SHARE} images of the batch, was measured as if the others were on machines of their own.
- Computed: the traffic, read off the traced training step; its time, by a model: {HOP * 1e6:.0f} µs from one machine to
  the next, and no two things at the same time.

## Images per second of all workers

Input: JPEG files of {SIZE[0]}x{SIZE[1]}, crop and flip. Mining: forward and backward of batch hard. Network: forward
and backward, on the processor too; each worker has the same part of it, however large the batch.

{measured(results["fed"], mined, networks)}

## Mining of one worker

Forward and backward for its {SHARE} anchors in the whole batch; the peak is that of the largest batch.

{mining_table(mined, results["peaks"])}

## Bytes that a worker sends in a step

An all-reduce sends 2 (n - 1) / n times its size from each of n workers; the table has the limit, twice the size. The
last column is the gather as an all-gather, with a reduce-scatter as its gradient.

{bytes_table(traffic)}

## Time of the network in a step

Milliseconds. The gather grows with the batch, the rest with the number of workers only by its hops.

{plans}

## Largest batches

With {SHARE} images on each worker, on the processor measured above.

{limits(results)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=64, help="simulated workers, a power of 2 (default: 64)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements per case (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), metavar="FOLDER",
                        help="folder of workers_benchmark.md (default: benchmarks)")  # fmt: skip
    args = parser.parse_args()
    if args.repeats < 1 or args.most < 1 or args.most & (args.most - 1):
        parser.error("--repeats must be at least 1, and --most a power of 2")

    prepare("cpu")
    import tensorflow as tf

    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    counts = [2**i for i in range(args.most.bit_length())]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        files, _ = make_photographs(Path(folder), identities=100, images=4, size=SIZE)
        number = args.most * SHARE * 4  # this many images in the list: the files again and again
        labels = np.array([str(i // IMAGES) for i in range(number)], dtype=object)
        many = [files[i % len(files)] for i in range(number)]
        results["fed"] = {n: feed(n, many, labels, args.repeats) for n in counts}
        print("input measured", flush=True)
    results["mined"] = {(n, d): mine(n, d, args.repeats) for n in (*counts, 4 * args.most) for d in DIMENSIONS}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        results["peaks"] = {d: processes.apply(peak_of_mining, (4 * args.most, d)) for d in DIMENSIONS}
    print("mining measured", flush=True)
    results["networks"] = {name: compute(name, args.repeats) for name in RECIPES}
    print("networks measured", flush=True)
    results["traffic"] = {
        name: trace(plugins.ROOT / "experiments" / name / "params.json", identities)
        for name, identities in RECIPES.items()
    }
    with replace_file(args.out / "workers_benchmark.md") as file:
        file.write(page(results, args))
    print(f"wrote {args.out / 'workers_benchmark.md'}")


if __name__ == "__main__":
    main()
