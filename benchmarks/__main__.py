"""All that a training's speed depends on, on this machine, in a few minutes.

    python -m benchmarks                          # or make bench; writes benchmarks.json and benchmarks.png
    python -m benchmarks --parts step --rounds 9

Every line is a ratio of two measurements that take turns: with a limit (decoding alone, a bare compiled step, a
matrix product), or with PyTorch in eager mode, when it is installed. The last line says what limits training here.
Other modules of this folder measure single questions more closely.
"""

import argparse
import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import evaluation, input_pipeline, loss_peers, network_steps, start_up, training_loop
from benchmarks.comparison import Comparison, compared, draw, line, write_json
from benchmarks.network_steps import PRECISIONS, Case
from benchmarks.processes import NotRunError, alone, in_turn, machine
from runtime.parallel import cores

ANCHORS = 1024  # B of the losses
DIMENSIONS = 128
_SETTINGS = {"mixed_bfloat16": "precision to mixed_bfloat16", "XLA": "jit_compile to true"}


def steps(args: argparse.Namespace, training: bool) -> Iterator[Comparison]:
    """Training steps or embeddings of each network, with each size of batch and image, in each precision."""
    part = "step" if training else "embedding"
    for model_type, size, precision in itertools.product(args.networks, args.sizes, args.precisions):
        case = Case(model_type, tuple(map(int, size.split("x"))), precision, training)
        seconds = network_steps.measure(case, args.rounds, cores())
        images = case.shape[0]
        product = np.array(seconds.pop("product")) * network_steps.multiply_adds(case) * images / 2048**3
        against = {"matrix product": product}
        peers = {name: times for name, times in seconds.items() if name.startswith("PyTorch")}
        if peers:
            best = min(peers, key=lambda name: np.median(peers[name]))
            against = {best: peers[best]} | against
        for ours in (name for name in seconds if name.startswith("ours")):
            for name, times in against.items():
                label = f"{case}{ours.removeprefix('ours')}"
                yield compared(part, label, "images/s", images, seconds[ours], name, times)


def losses(args: argparse.Namespace) -> Iterator[Comparison]:
    """Forward and backward of losses, against the product that makes distances, and against PyTorch."""
    for strategy, peer in (("batch_hard", "PML batch-hard miner"), ("batch_all", "PML all triplets")):
        others = [strategy, *([peer] if importlib.util.find_spec("pytorch_metric_learning") else [])]
        size = ANCHORS if strategy == "batch_hard" else ANCHORS // 4
        contenders = {name: (loss_peers.build, ([strategy], name, size, cores())) for name in others}
        contenders["product"] = (network_steps.product, ("float32", cores()))
        seconds = in_turn(contenders, args.rounds)
        # Forward and backward, distances need three products of B x D x B.
        seconds["matrix product"] = [x * 3 * size**2 * DIMENSIONS / 2048**3 for x in seconds.pop("product")]
        for name in (*others[1:], "matrix product"):
            yield compared(
                "loss", f"{strategy}, {size} images", "images/s", size, seconds[strategy], name, seconds[name]
            )


def evaluations(args: argparse.Namespace) -> Iterator[Comparison]:
    """All metrics of an evaluation as large as that of Market-1501, against the product that makes its distances."""
    found = in_turn({name: (evaluation.step, (name, DIMENSIONS)) for name in ("ours", "product")}, args.rounds)
    queries = evaluation.QUERIES
    name = f"Market-1501, all metrics, {DIMENSIONS} dimensions"
    yield compared("evaluation", name, "queries/s", queries, found["ours"], "matrix product", found["product"])


def advice(comparisons: Sequence[Comparison]) -> str:
    """What limits training here, and the parameter to change."""
    rates: dict[str, dict[str, float]] = {}  # network and size -> way -> images per second
    for comparison in comparisons:
        if comparison.part == "step":
            network, size, way = comparison.name.split(", ", 2)
            rates.setdefault(f"{network} at {size}", {})[way] = comparison.value
    fed = next((each.value for each in comparisons if each.name == input_pipeline.USUAL), math.inf)
    found = []
    for case, ways in rates.items():
        best = max(ways, key=ways.__getitem__)
        if fed < ways[best]:
            found.append(f"{case} waits for its input: set image_cache, or raise num_parallel_calls")
        elif settings := [_SETTINGS[word] for word in best.split(", ") if word in _SETTINGS]:
            gain = f" ({ways[best] / ways['float32']:.1f} times as fast)" if "float32" in ways else ""
            found.append(f"{case} is limited by its step: set {' and '.join(settings)}{gain}")
        else:
            found.append(f"{case} is limited by its step: only smaller images or another network are faster")
    return "; ".join(found) or "the part step is needed for advice"


def inputs(args: argparse.Namespace) -> Iterator[Comparison]:
    """Training batches of 128x64 JPEGs against decoding alone, and packed against single files on a slow disk."""
    seconds = alone(input_pipeline.series, args.rounds)
    for case in input_pipeline.CASES:
        yield compared("input", case, "images/s", 1, seconds[case], "decoding alone", seconds["decoding"])
    packed, files = seconds["packed"], seconds["files"]
    yield compared("input", "packed, simulated slow disk", "images/s", 1, packed, "single files", files)


def loop(args: argparse.Namespace) -> Iterator[Comparison]:
    """Steps of `train.py` on cached images against the bare compiled step."""
    found = alone(training_loop.measure, args.rounds)
    for other, against in {"fed": "bare step, same input", "in memory": "bare step, in memory"}.items():
        ratio, low, high = (found[f"train / {other}{end}"] for end in ("", ", least", ", most"))
        name = f"train.py, step of {found['in memory']:.1f} ms"
        yield Comparison("loop", name, 1e3 / found["train"], "steps/s", against, ratio, low, high)


def starts(args: argparse.Namespace) -> Iterator[Comparison]:
    """Seconds to the first step, and so on, against the import of TensorFlow."""
    seconds = start_up.series(args.rounds)
    limit = seconds.pop(start_up.LIMIT)
    for name, times in seconds.items():
        found = compared("start", name, "s", 1, times, start_up.LIMIT, limit)
        yield found._replace(value=float(np.median(times)))


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Comparison]]] = {
    "input": inputs,
    "step": lambda args: steps(args, training=True),
    "loss": losses,
    "embedding": lambda args: steps(args, training=False),
    "evaluation": evaluations,
    "loop": loop,
    "start": starts,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--networks", nargs="+", default=network_steps.NETWORKS, help="model_type (default: all three)")
    parser.add_argument("--sizes", nargs="+", default=["64x64x64"], metavar="BxHxW", help="batches (default: 64x64x64)")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS, help="default: both")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender (default: 5)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of benchmarks.json and benchmarks.png")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    from model.run.devices import prepare

    prepare()
    args.out.mkdir(parents=True, exist_ok=True)
    print(machine(cores()))
    comparisons = []
    for part in args.parts:
        try:
            for comparison in PARTS[part](args):
                comparisons.append(comparison)
                print(line(comparison), flush=True)
        except NotRunError as reason:
            print(f"{part}: {reason}")
    found = advice(comparisons)
    print(found)
    write_json(comparisons, found, args.out / "benchmarks.json")
    draw(comparisons, args.out / "benchmarks.png")


if __name__ == "__main__":
    main()
