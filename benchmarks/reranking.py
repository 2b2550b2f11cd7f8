"""Time and memory of re-ranking, compared with the published algorithm on whole matrices in NumPy.

    python -m benchmarks.reranking --memory_limit 6           # the table of docs/evaluation.md: three minutes
    python -m benchmarks.reranking --sizes 300x1500           # a few seconds

Each measurement runs in its own process. Memory is the growth of its peak resident set after the embeddings are made.
The embeddings are noise around one centre for each of 751 identities, spread along few directions like trained ones. If
two neighbours are almost equally far, float32 and float64 may order them differently, and one neighbour more or less
changes the distances of an image. The last column counts these distances.
"""

import argparse
import multiprocessing
import resource
import sys
import time

import numpy as np

from model.metrics.search.rerank import Reranker
from runtime.parallel import cores

K1, K2, WEIGHT = 20, 6, 0.3
IDENTITIES, DIMENSIONS = 751, 128
ARRAYS = 4  # the published algorithm has at most this many arrays of (Q + G)^2 float32 numbers at a time
BLOCK = 256  # queries
TOLERANCE = 1e-5
SAMPLE = 200  # number of queries for comparing distances


def embeddings(queries: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries (Q, D) and gallery (G, D), equal for both algorithms."""
    random = np.random.default_rng(0)
    spread = 1 / np.sqrt(1 + np.arange(DIMENSIONS))  # standard deviation of the dimensions
    centres = random.normal(size=(IDENTITIES, DIMENSIONS)) * spread

    def noisy(number: int) -> np.ndarray:
        noise = 0.9 * random.normal(size=(number, DIMENSIONS)) * spread
        return (centres[random.integers(0, IDENTITIES, number)] + noise).astype(np.float32)

    return noisy(queries), noisy(images)


def blocks(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """This project's algorithm: computes all distances, block by block, and returns those of the first queries."""
    reranker = Reranker(query, gallery, k1=K1, k2=K2, weight=WEIGHT)
    kept = [reranker.distances(slice(i, i + BLOCK)) for i in range(0, len(query), BLOCK)][:1]
    return kept[0][:SAMPLE]


def whole_matrices(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """The published algorithm: all distances, sorted as a whole, dense encodings, image by image."""
    union = np.concatenate([query, gallery])
    number, half = len(union), int(np.around(K1 / 2)) + 1
    norms = np.square(union).sum(1)
    original = np.maximum(norms[:, None] + norms - 2 * union @ union.T, 0)  # (N, N) float32
    original = np.transpose(original / original.max(axis=0))
    rank = np.argsort(original).astype(np.int32)
    codes = np.zeros_like(original)
    for i in range(number):
        forward = rank[i, : K1 + 1]
        core = forward[(rank[forward, : K1 + 1] == i).any(1)]
        members = core
        for j in core:
            near = rank[j, :half]
            candidate = near[(rank[near, :half] == j).any(1)]
            if len(np.intersect1d(candidate, core)) > 2 / 3 * len(candidate):
                members = np.append(members, candidate)
        members = np.unique(members)
        weights = np.exp(-original[i, members])
        codes[i, members] = weights / weights.sum()
    original = original[: len(query)]
    means = np.zeros_like(codes)
    for i in range(number):
        means[i] = codes[rank[i, :K2]].mean(0)
    codes = means
    del means, rank
    owners = [np.flatnonzero(codes[:, j]) for j in range(number)]
    jaccard = np.zeros_like(original)
    for i in range(len(query)):
        shared = np.zeros(number, np.float32)
        for j in np.flatnonzero(codes[i]):
            shared[owners[j]] += np.minimum(codes[i, j], codes[owners[j], j])
        jaccard[i] = 1 - shared / (2 - shared)
    final = jaccard * (1 - WEIGHT) + original * WEIGHT
    return final[:SAMPLE, len(query) :]


def measure(function: str, queries: int, images: int) -> tuple[float, float, np.ndarray]:
    """Seconds, growth of the resident set in GB, and the distances of the first queries."""
    inputs = embeddings(queries, images)
    before = peak()
    start = time.perf_counter()
    distances = globals()[function](*inputs)
    return time.perf_counter() - start, peak() - before, distances


def peak() -> float:
    """The peak resident set of this process so far, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def in_a_process(function: str, queries: int, images: int) -> tuple[float, float, np.ndarray]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (function, queries, images))


def size(text: str) -> tuple[int, int]:
    queries, _, images = text.partition("x")
    if not (queries.isdecimal() and images.isdecimal() and int(queries) and int(images)):
        raise argparse.ArgumentTypeError(f"{text!r} is not QUERIESxIMAGES, such as 3368x15913")
    return int(queries), int(images)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", type=size, nargs="+", metavar="QxG", default=[(300, 1500), (1000, 5000), (3368, 15913)],
        help="queries x gallery images (default: 300x1500 1000x5000 3368x15913, Market-1501)",
    )  # fmt: skip
    parser.add_argument(
        "--memory_limit", type=float, metavar="GB", default=4.0,
        help="skip the published algorithm if it needs more (default: 4; it needs 6 at the size of Market-1501)",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    args = arguments()
    print(f"D = {DIMENSIONS}, k1 = {K1}, k2 = {K2}, lambda = {WEIGHT}, {cores()} cores\n", flush=True)
    titles = ["queries x gallery", "blocks", "memory", "whole matrices", "memory", "time", "memory"]
    print(f"| {' | '.join(titles)} | distances that differ by more than {TOLERANCE:.0e} |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for queries, images in args.sizes:
        seconds, memory, distances = in_a_process("blocks", queries, images)
        line = f"| {queries} x {images} | {seconds:.1f} s | {memory:.2f} GB |"
        if ARRAYS * 4 * (queries + images) ** 2 / 1e9 > args.memory_limit:
            print(f"{line} not run | | | | |", flush=True)
            continue
        theirs, room, expected = in_a_process("whole_matrices", queries, images)
        difference = np.abs(distances - expected)
        print(
            f"{line} {theirs:.1f} s | {room:.2f} GB | {theirs / seconds:.1f}x | {room / memory:.0f}x | "
            f"{np.mean(difference > TOLERANCE):.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
