"""Time and memory of a Market-1501 evaluation, from embeddings to all metrics, compared with other implementations.

    python -m benchmarks.evaluation                                # D = 128 and 2 048
    python -m benchmarks.evaluation --distractors 250000 500000    # also a larger gallery, for this project only

The labels are like those of Market-1501: 3 368 queries of 750 persons; a gallery of 19 732 images with 3 819 junk and
2 798 distractor images; 6 cameras. `--lists DIR` uses the real lists market1501_query.csv and market1501_test.csv.
Embeddings are noise around one centre per person. Each measurement runs in its own process. Memory is the growth of its
peak resident set after the embeddings are made. The contenders:

    this project       all metrics, ranks by counting
    scikit-learn       its average_precision_score for each query: only mAP
    torchreid's way    its published algorithm in NumPy, which sorts all distances: mAP and CMC
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from dataset.formats.manifest import Manifest, read_manifest
from model.metrics.ranking.retrieval import evaluate_retrieval
from runtime.parallel import cores

QUERIES, PERSONS, CAMERAS = 3368, 750, 6
JUNK, DISTRACTORS, IMAGES = 3819, 2798, 19732


def like_market() -> tuple[Manifest, Manifest]:
    """Labels with the counts of Market-1501: about 17 gallery images per person, in random cameras."""
    random = np.random.default_rng(0)
    names = np.array([f"{i:04d}" for i in range(1, PERSONS + 1)], object)
    queries = names[np.arange(QUERIES) % PERSONS]
    persons = names[random.integers(0, PERSONS, IMAGES - JUNK - DISTRACTORS)]
    gallery = np.concatenate([np.full(JUNK, "-1", object), np.full(DISTRACTORS, "0000", object), persons])

    def manifest(identities: np.ndarray, name: str) -> Manifest:
        paths = np.array([f"{name}/{i}.jpg" for i in range(len(identities))], object)
        cameras = random.integers(1, CAMERAS + 1, len(identities)).astype(str).astype(object)
        return Manifest(identities, paths, Path(), Path(f"{name}.csv"), cameras)

    return manifest(queries, "query"), manifest(gallery, "gallery")


def from_lists(folder: Path) -> tuple[Manifest, Manifest]:
    """The real labels of Market-1501, with cameras from the file names."""
    parts = []
    for name in ("query", "test"):
        read = read_manifest(folder / f"market1501_{name}.csv", Path())
        cameras = np.array([Path(path).name.split("_c")[1][0] for path in read.paths], object)
        parts.append(Manifest(read.identities, read.paths, read.image_root, read.source, cameras))
    return tuple(parts)


def with_distractors(gallery: Manifest, count: int) -> Manifest:
    """The gallery with `count` more distractors."""
    identities = np.concatenate([gallery.identities, np.full(count, "0000", object)])
    paths = np.concatenate([gallery.paths, np.array([f"more/{i}.jpg" for i in range(count)], object)])
    cameras = np.concatenate([gallery.cameras, np.full(count, "1", object)])
    return Manifest(identities, paths, gallery.image_root, gallery.source, cameras)


def embeddings(query: Manifest, gallery: Manifest, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """(Q, D) and (G, D) float32."""
    random = np.random.default_rng(0)
    names, codes = np.unique(np.concatenate([query.identities, gallery.identities]).astype(str), return_inverse=True)
    centres = (0.6 * random.standard_normal((len(names), dimensions))).astype(np.float32)
    emb = random.standard_normal((len(codes), dimensions), np.float32)
    for start in range(0, len(emb), 4096):
        emb[start : start + 4096] += centres[codes[start : start + 4096]]
    return emb[: len(query)], emb[len(query) :]


def this_project(query_emb: np.ndarray, gallery_emb: np.ndarray, query: Manifest, gallery: Manifest) -> float:
    """mAP; this computes all other metrics too."""
    return evaluate_retrieval(query_emb, gallery_emb, query, gallery, "market1501", "euclidean").metrics["map"]


def scikit_learn(query_emb: np.ndarray, gallery_emb: np.ndarray, query: Manifest, gallery: Manifest) -> float:
    """mAP, query by query. Each query has its own matrix product, so the distances fit into memory."""
    kept, aps = gallery.identities != "-1", []
    gallery_emb, identities, cameras = gallery_emb[kept], gallery.identities[kept], gallery.cameras[kept]
    norms = np.square(gallery_emb).sum(1)
    for emb, identity, camera in zip(query_emb, query.identities, query.cameras, strict=True):
        same = identities == identity
        keep = ~(same & (cameras == camera))
        if (same & keep).any():
            scores = 2 * (gallery_emb @ emb) - norms
            aps.append(average_precision_score(same[keep], scores[keep]))
    return float(np.mean(aps))


def torchreid_way(query_emb: np.ndarray, gallery_emb: np.ndarray, query: Manifest, gallery: Manifest) -> float:
    """mAP and CMC as in torchreid's evaluation without its extension: the whole matrix, its argsort, a loop."""
    kept = gallery.identities != "-1"
    gallery_emb, identities, cameras = gallery_emb[kept], gallery.identities[kept], gallery.cameras[kept]
    distances = np.square(query_emb).sum(1)[:, None] + np.square(gallery_emb).sum(1) - 2 * query_emb @ gallery_emb.T
    indices = np.argsort(distances, axis=1)
    matches = (identities[indices] == query.identities[:, None]).astype(np.int32)
    curves, aps = [], []
    for row in range(len(query)):
        order = indices[row]
        removed = (identities[order] == query.identities[row]) & (cameras[order] == query.cameras[row])
        hits = matches[row][~removed]
        if not hits.any():
            continue
        curve = hits.cumsum()
        curves.append(np.minimum(curve, 1)[:50])
        precisions = curve / (np.arange(len(curve)) + 1.0)
        aps.append((precisions * hits).sum() / hits.sum())
    np.asarray(curves).astype(np.float32).sum(0)
    return float(np.mean(aps))


CONTENDERS: dict[str, Callable] = {
    "this project": this_project,
    "scikit-learn": scikit_learn,
    "torchreid's way": torchreid_way,
}


def measure(name: str, lists: Path | None, dimensions: int, distractors: int, runs: int) -> tuple[float, float, float]:
    """Median seconds, growth of memory in MB, and mAP. Run it in its own process."""
    query, gallery = from_lists(lists) if lists else like_market()
    gallery = with_distractors(gallery, distractors) if distractors else gallery
    query_emb, gallery_emb = embeddings(query, gallery, dimensions)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, value = [], 0.0
    for _ in range(runs):
        start = time.perf_counter()
        value = CONTENDERS[name](query_emb, gallery_emb, query, gallery)
        seconds.append(time.perf_counter() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    return statistics.median(seconds), grown, value


def step(name: str, dimensions: int) -> Callable[[], object]:
    """ "ours": all metrics; "product": only the matrix product that makes the distances."""
    query, gallery = like_market()
    query_emb, gallery_emb = embeddings(query, gallery, dimensions)
    if name == "ours":
        return lambda: this_project(query_emb, gallery_emb, query, gallery)
    return lambda: float((query_emb @ gallery_emb.T)[0, 0])


def in_process(*arguments) -> tuple[float, float, float]:
    """The result of `measure`, run in its own process. Its exceptions are raised here."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__.split("\n")[0])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[128, 2048], help="D (default: 128 2048)")
    parser.add_argument("--distractors", type=int, nargs="*", default=[], help="numbers to add to the gallery, D = 128")
    parser.add_argument("--lists", type=Path, help="folder of the real lists (default: made-up labels)")
    parser.add_argument("--runs", type=int, default=3, help="runs of this project, for the median (default: 3)")
    args = parser.parse_args(argv)
    print(f"{QUERIES:,} x {IMAGES:,}, {cores()} cores; median of {args.runs} runs; memory without the embeddings\n")
    print(f"{'':16} {'D':>5} {'gallery':>8} {'seconds':>8} {'ratio':>6} {'MB':>6} {'mAP, %':>8}")
    rows = [(name, size, 0) for size in args.dimensions for name in CONTENDERS]
    rows += [("this project", 128, count) for count in args.distractors]
    base = 0.0
    for name, size, count in rows:
        runs = args.runs if name == "this project" else 1
        seconds, memory, value = in_process(name, args.lists, size, count, runs)
        base = seconds if name == "this project" else base
        ratio = f"{seconds / base:.1f}x"
        print(f"{name:16} {size:5} {IMAGES + count:8,} {seconds:8.2f} {ratio:>6} {memory:6.0f} {100 * value:8.4f}")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
