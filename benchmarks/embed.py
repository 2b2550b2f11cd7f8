"""The speed of embedding files, compared with its upper limit: the network on batches in memory.

    python -m benchmarks.embed

Both run in turn in one process, on the same images with the same compiled network. The important number is the ratio.
Embedding reads and decodes files, checks the vectors and writes them to disk, as in embed.py. Each measurement includes
the start of the input pipeline. The last column is the ratio of processor times, which depends less on other programs.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.input_pipeline import make_photographs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embed", description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["basic", "mobilenet_v2"], help="model_type (default: both)")
    parser.add_argument("--sizes", nargs="+", default=["64x64", "128x64"], metavar="HxW", help="sizes of the images")
    parser.add_argument("--images", type=int, default=20_000, help="number of images (default: 20000)")
    parser.add_argument("--block", type=int, default=5_000, help="images per measurement (default: 5000)")
    parser.add_argument("--repeats", type=int, default=2, help="passes over all images (default: 2)")
    parser.add_argument("--batch_size", type=int, default=128, help="images per batch (default: 128)")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, or gpu:N (default: auto)")
    args = parser.parse_args()
    block = args.block
    sizes = [tuple(int(side) for side in size.split("x")) for size in args.sizes]
    if min(args.images, args.block, args.repeats, args.batch_size) < 1 or args.images < args.block:
        parser.error("--images, --block, --repeats and --batch_size must be at least 1, and --block at most --images")

    from model.run.devices import prepare

    prepare(args.device)

    print(f"{'network':14}{'images':>9}{'from memory':>15}{'from files':>17}{'ratio':>8}{'quartiles':>14}{'CPU':>8}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            files, _ = make_photographs(Path(folder), args.images, 1, size)
            for name in args.models:
                pairs = measure(name, size, files, block, args.repeats, args.batch_size, Path(folder))
                limit, ours = (block / np.median(pairs[:, which, 0]) for which in (0, 1))
                low, ratio, high = np.quantile(pairs[:, 0, 0] / pairs[:, 1, 0], [0.25, 0.5, 0.75])
                cpu = np.median(pairs[:, 0, 1] / pairs[:, 1, 1])
                print(
                    f"{name:14}{'x'.join(map(str, size)):>9}{limit:12,.0f} /s {ours:14,.0f} /s "
                    f"{ratio:8.3f}{low:8.3f}{high:6.3f}{cpu:8.3f}",
                    flush=True,
                )


def measure(
    name: str, size: tuple[int, int], files: list[str], block: int, repeats: int, batch_size: int, folder: Path
) -> np.ndarray:
    """(blocks, 2, 2): for the network alone and for embedding files, seconds and seconds of processor time."""
    from dataset.loading.pipeline import embedding_batches
    from model.configuration.loading import check_params
    from model.embedding.embedder import Embedder
    from model.embedding.partial import PartialEmbeddings
    from model.network.build import build_embedder

    params = check_params({"model_type": name, "image_size": list(size)}, "benchmark")
    embedder = Embedder(build_embedder(params), params)

    def alone(batches: list[np.ndarray]) -> None:
        for batch in batches:
            embedder.forward(batch).numpy()

    def embedding(part: list[str]) -> None:
        partial = PartialEmbeddings(folder / "partial", {}, len(part), 1, params.embedding_size)
        for vectors in embedder.batches(part, np.ones(len(part), np.uint8), batch_size=batch_size):
            assert np.isfinite(vectors).all()
            partial.append(vectors)
        (folder / "partial").unlink()

    pairs = []
    for number, first in enumerate([*range(0, len(files) - block + 1, block)] * repeats):
        part = files[first : first + block]
        ready = list(embedding_batches(part, np.ones(len(part), np.uint8), params, batch_size))
        if not number:  # compile, and use everything once
            alone(ready[:2])
            embedding(part[: 2 * batch_size])
        tasks = (lambda ready=ready: alone(ready)), (lambda part=part: embedding(part))
        seconds = [None, None]
        for which in (0, 1) if number % 2 else (1, 0):  # they take turns in going first
            start = time.perf_counter(), time.process_time()
            tasks[which]()
            seconds[which] = time.perf_counter() - start[0], time.process_time() - start[1]
        pairs.append(seconds)
    return np.array(pairs)


if __name__ == "__main__":
    main()
