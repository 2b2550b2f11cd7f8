"""The speed of the training input, compared with only decoding the same files.

    python -m benchmarks.input_pipeline

Both run in turn in one process; the important number is the ratio.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def make_photographs(folder: Path, identities: int, images: int, size: tuple[int, int]) -> tuple[list[str], np.ndarray]:
    """JPEG files of smooth noise, which compresses like photographs, and their labels."""
    random = np.random.default_rng(0)
    files, labels = [], []
    for number in range(identities * images):
        small = random.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
        file = folder / f"{number}.jpg"
        Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC).save(file, quality=90)
        files.append(str(file))
        labels.append(str(number // images))
    return files, np.array(labels, dtype=object)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.input_pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="batches per measurement (default: 40)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements per case (default: 5)")
    args = parser.parse_args()
    if min(args.steps, args.repeats) < 1:
        parser.error("--steps and --repeats must be at least 1")

    from model.run.devices import prepare

    prepare("cpu")
    import tensorflow as tf

    from dataset.images import decode
    from dataset.loading.pipeline import training_batches
    from dataset.sampling import Sampler, pk
    from model.configuration.loading import check_params

    cases = {
        "128x64, no augmentation": {"image_size": [128, 64], "augmentation": []},
        "128x64, crop and flip": {"image_size": [128, 64]},
        "128x64, affine, crop and flip": {
            "image_size": [128, 64],
            "augmentation": ["affine", "random_crop", "horizontal_flip"],
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        files, labels = make_photographs(Path(folder), identities=100, images=10, size=(128, 64))
        orientations = np.ones(len(files), np.uint8)

        def decoded(steps: int, batch: int) -> float:
            """Images per second when only reading and decoding."""
            order = [files[i % len(files)] for i in range(steps * batch)]
            data = tf.data.Dataset.from_tensor_slices(order)
            data = data.map(lambda file: decode(tf.io.read_file(file), 3), num_parallel_calls=tf.data.AUTOTUNE)
            start = time.perf_counter()
            for _ in data.batch(batch).prefetch(4):
                pass
            return steps * batch / (time.perf_counter() - start)

        def fed(params: object, sampler: Sampler, steps: int) -> float:
            """Images per second of the training input."""
            start = time.perf_counter()
            for _ in training_batches(files, orientations, sampler, params, 0, steps):
                pass
            return steps * sampler.batch_size / (time.perf_counter() - start)

        print(f"{'case':32}{'decoding only':>16}{'training input':>16}{'ratio':>8}")
        for name, values in cases.items():
            params = check_params(values, "benchmark")
            sampler = pk.make(labels, params)
            pairs = [
                (decoded(args.steps, sampler.batch_size), fed(params, sampler, args.steps)) for _ in range(args.repeats)
            ]
            limit, ours = (statistics.median(values) for values in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            print(f"{name:32}{limit:12,.0f} /s {ours:12,.0f} /s {ratio:8.2f}")


if __name__ == "__main__":
    main()
