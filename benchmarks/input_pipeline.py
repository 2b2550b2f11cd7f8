"""The speed of the training input, compared with only decoding the same files.

    python -m benchmarks.input_pipeline

Both run in turn in one process; the important number is the ratio. The second table compares single files with a packed
data set on a simulated slow disk, where opening a file takes 5 ms and each read 1 ms.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from dataset.formats import packed
from dataset.formats.manifest import write_manifest
from runtime.json_files import write_json

CROP_FLIP = {"image_size": [128, 64]}
CASES = {
    "no augmentation": CROP_FLIP | {"augmentation": []},
    "crop and flip": CROP_FLIP,
    "affine, crop and flip": CROP_FLIP | {"augmentation": ["affine", "random_crop", "horizontal_flip"]},
    "crop and flip, encoded cache": CROP_FLIP | {"image_cache": "encoded"},
    "crop and flip, decoded cache": CROP_FLIP | {"image_cache": "decoded"},
    "no augmentation, decoded cache": CROP_FLIP | {"augmentation": [], "image_cache": "decoded"},
}
USUAL = "crop and flip"  # one of the cases
OPEN_SECONDS, READ_SECONDS = 0.005, 0.001


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


def measure(steps: int = 40, repeats: int = 5) -> dict[str, float]:
    """Images per second: "decoding", each of `CASES`, and its "CASE / decoding"; "files" and "packed" on a slow disk.

    Ratios are medians over `repeats`, in each of which everything runs in turn.
    """
    seconds = series(repeats, steps)
    result = {name: 1 / statistics.median(values) for name, values in seconds.items()}
    for name, limit in dict.fromkeys(CASES, "decoding") | {"packed": "files"}.items():
        pairs = zip(seconds[limit], seconds[name], strict=True)
        result[f"{name} / {limit}"] = statistics.median(a / b for a, b in pairs)
    return result


def series(rounds: int, steps: int = 40) -> dict[str, list[float]]:
    """Seconds an image, a number for each round: "decoding", each of `CASES`, and "files" and "packed" on a slow disk.

    In each round, everything runs in turn.
    """
    from model.run.devices import prepare

    prepare("cpu")
    import tensorflow as tf

    from dataset.images import decode
    from dataset.loading.pipeline import training_batches
    from dataset.sampling import pk
    from model.configuration.loading import check_params

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, labels = make_photographs(folder, identities=100, images=10, size=(128, 64))
        in_pack = pack(folder, files)
        orientations = np.ones(len(files), np.uint8)
        sampler = pk.make(labels, check_params(CROP_FLIP, "benchmark"))
        count = steps * sampler.batch_size

        def decoded() -> Iterable:
            data = tf.data.Dataset.from_tensor_slices([files[i % len(files)] for i in range(count)])
            data = data.map(lambda file: decode(tf.io.read_file(file), 3), num_parallel_calls=16)
            options = tf.data.Options()  # as in training
            options.autotune.enabled, options.threading.private_threadpool_size = False, 8
            return data.batch(sampler.batch_size).prefetch(4).with_options(options)

        def fed(values: dict) -> Callable[[], Iterable]:
            params = check_params(values, "benchmark")
            return lambda: training_batches(files, orientations, sampler, params, 0, steps)

        def slowly(files: list[str]) -> Callable[[], Iterable]:
            """Only reading, with as many threads as training."""

            def read(index: int) -> bytes:
                time.sleep(READ_SECONDS + (0 if packed.find_packed(files[index]) else OPEN_SECONDS))
                return packed.read_image(files[index])

            def one(index: tf.Tensor) -> tf.Tensor:
                return tf.numpy_function(read, [index % len(files)], tf.string)

            return lambda: tf.data.Dataset.range(count).map(one, 16).batch(sampler.batch_size)

        runs = {"decoding": decoded} | {name: fed(values) for name, values in CASES.items()}
        runs |= {"files": slowly(files), "packed": slowly(in_pack)}
        # Made before the clock runs: building graphs is not measured.
        made = {name: make() for name, make in runs.items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(rounds + 1):  # the first is slower
            for name, batches in made.items():
                start = time.perf_counter()
                for _ in batches:
                    pass
                if turn:
                    seconds[name].append((time.perf_counter() - start) / count)
    return seconds


def pack(folder: Path, files: list[str]) -> list[str]:
    """Packs the files, and returns their names in the pack."""
    from dataset.pack import main

    names = [Path(file).name for file in files]
    write_manifest(folder / "train.csv", [(name, name) for name in names])
    write_json(folder / "dataset.json", {"name": "photographs", "image_root": "."})
    with mock.patch("dataset.pack.print_line"):
        main([str(folder), "--out", str(folder / "packed")])
    return [str(folder / "packed" / packed.FOLDER / name) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.input_pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="batches per measurement (default: 40)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements per case (default: 5)")
    args = parser.parse_args()
    if min(args.steps, args.repeats) < 1:
        parser.error("--steps and --repeats must be at least 1")
    found = measure(args.steps, args.repeats)
    print(f"{'128x64 JPEGs':36}{'images/s':>12}{'of decoding':>14}")
    print(f"{'decoding only':36}{found['decoding']:12,.0f}")
    for name in CASES:
        print(f"{name:36}{found[name]:12,.0f}{found[f'{name} / decoding']:14.2f}")
    print(f"\n{'reading, simulated slow disk':36}{'images/s':>12}{'of files':>14}")
    print(f"{'files':36}{found['files']:12,.0f}")
    print(f"{'packed':36}{found['packed']:12,.0f}{found['packed / files']:14.2f}")


if __name__ == "__main__":
    main()
