"""How time and memory grow with the work: sampling, losses, evaluation.

    python -m benchmarks.growth

Each size runs in a process of its own. The exponent p of time ~ n^p is that of a line through the logarithms of the
three largest sizes. Memory is the growth of the peak during a call.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import evaluation, loss_peers
from benchmarks.processes import Worker, machine
from runtime.parallel import cores

_LIMIT = 1800.0  # seconds for a call
_OF_EXPONENT = 3  # sizes


def sampling(identities: int) -> Callable[[], Any]:
    """A batch of 16 x 4 out of this many identities with 4 images each."""
    from dataset.sampling import pk
    from model.configuration.params import Params

    labels = np.repeat(np.arange(identities).astype(str), 4).astype(object)
    sampler = pk.make(labels, Params(dataset="none"))
    steps = iter(range(10**9))
    return lambda: sampler.batch(next(steps))


def prepared_sampling(identities: int) -> Callable[[], Any]:
    """The tables for it, which are made once."""
    from dataset.sampling import pk
    from model.configuration.params import Params

    labels = np.repeat(np.arange(identities).astype(str), 4).astype(object)
    return lambda: pk.make(labels, Params(dataset="none")).batch_size


def loss(strategy: str, size: int) -> Callable[[], Any]:
    """Forward and backward of a batch of this many images."""
    step = loss_peers.build([strategy], strategy, size, cores())
    return lambda: step()[0]


def ranking(images: int) -> Callable[[], Any]:
    """All metrics of 3 368 queries against a gallery of this many images."""
    query, gallery = evaluation.like_market()
    gallery = evaluation.with_distractors(gallery, images - len(gallery))
    query_emb, gallery_emb = evaluation.embeddings(query, gallery, 128)
    return lambda: evaluation.this_project(query_emb, gallery_emb, query, gallery)


CASES: dict[str, tuple[Callable[..., Callable[[], Any]], tuple[Any, ...], Sequence[int]]] = {
    "batch of 64 (identities)": (sampling, (), (10**3, 10**4, 10**5, 10**6)),
    "tables of a sampler (identities)": (prepared_sampling, (), (10**3, 10**4, 10**5, 10**6)),
    "batch_hard (B)": (loss, ("batch_hard",), (1024, 2048, 4096, 8192, 16384)),
    "batch_all (B)": (loss, ("batch_all",), (1024, 2048, 4096, 8192, 16384)),
    "evaluation (gallery)": (ranking, (), (20_000, 100_000, 300_000, 1_000_000)),
}


def measure(build: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> tuple[float, float]:
    """Seconds of a call, and the peak of its memory in MB."""
    worker = Worker(build, arguments)
    try:
        worker.ask(None, _LIMIT)
        first = worker.ask(("first",), _LIMIT)
        calls = int(min(100, max(1, 1.0 / first["seconds"])))
        seconds = first["seconds"] if first["seconds"] > 30 else worker.ask(("time", calls), calls * _LIMIT)
        return seconds, (first["peak"] or 0) / 1e6
    finally:
        worker.close()


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of log(seconds) over log(size), of the largest sizes."""
    return float(np.polyfit(np.log(sizes[-_OF_EXPONENT:]), np.log(seconds[-_OF_EXPONENT:]), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    args = parser.parse_args()
    print(machine(cores()))
    for name in args.cases:
        build, arguments, sizes = CASES[name]
        results = [measure(build, (*arguments, size)) for size in sizes]
        for size, (seconds, peak) in zip(sizes, results, strict=True):
            print(f"{name:34}{size:>10,}{seconds * 1e3:12,.3g} ms{peak:10,.1f} MB", flush=True)
        print(f"{name:34}{'exponent':>10}{exponent(sizes, [seconds for seconds, _ in results]):12.2f}", flush=True)


if __name__ == "__main__":
    main()
