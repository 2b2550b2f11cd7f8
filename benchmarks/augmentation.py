"""Images per second of each augmentation and of all together, compared with Pillow doing the same work.

    python -m benchmarks.augmentation

Images of 128x128 in memory are mapped and batched as for training. Pillow uses one thread per core. Both run in turn in
one process. The table also has processor time, which depends less on other programs.
"""

import argparse
import math
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import tensorflow as tf
from PIL import Image, ImageEnhance

from dataset.augmentation import for_training
from model.configuration.loading import check_params
from model.configuration.params import Params
from model.run.devices import prepare
from runtime.parallel import cores

SIDE, PRE_CROP = 128, 144
ALL = [
    "random_resized_crop",
    "scale",
    "translate",
    "rotate",
    "shear",
    "horizontal_flip",
    "grayscale",
    "color_jitter",
    "random_erasing",
]
CASES = {name: [name] for name in ("random_crop", *ALL, "affine")} | {
    "the 4 warps": ALL[1:5],
    "all together": ALL,
}
BATCH = 72
ORIGINAL = ["grayscale", "scale", "translate", "rotate", "shear", "horizontal_flip"]
WARPS = {"scale", "translate", "rotate", "shear", "affine"}


def make_images(count: int, side: int) -> np.ndarray:
    """(count, side, side, 3) uint8 of smooth noise."""
    numbers = np.random.default_rng(0)
    small = numbers.integers(0, 256, (count, side // 8, side // 8, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC)) for each in small]
    )


def warp(image: Image.Image, draw: random.Random, names: set[str], p: object) -> Image.Image:
    """One affine transform of Pillow for all warps in `names`."""
    affine, center = "affine" in names, image.width / 2
    limits = [p.scale_range, p.rotate_range, p.shear_range, p.translate_range * SIDE, p.translate_range * SIDE]
    owners = ["scale", "rotate", "shear", "translate", "translate"]
    zoom, angle, shear, down, right = (
        draw.uniform(-limit, limit) if affine or owner in names else 0.0
        for limit, owner in zip(limits, owners, strict=True)
    )
    factor, cos, sin = 1 / (1 + zoom), math.cos(math.radians(angle)), math.sin(math.radians(angle))
    tan = math.tan(math.radians(shear))
    a, b, d, e = factor * cos, factor * (cos * tan - sin), factor * sin, factor * (sin * tan + cos)
    c, f = center - (a + b) * center + right, center - (d + e) * center + down
    return image.transform(image.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)


def crop(image: Image.Image, draw: random.Random, p: object) -> Image.Image:
    """A window of `image_size`."""
    left, top = draw.randint(0, image.width - SIDE), draw.randint(0, image.height - SIDE)
    return image.crop((left, top, left + SIDE, top + SIDE))


def resized_crop(image: Image.Image, draw: random.Random, p: object) -> Image.Image:
    """A window of random size and shape, resized."""
    for _ in range(10):
        area, aspect = draw.uniform(*p.resized_crop_area), math.exp(draw.uniform(*map(math.log, p.resized_crop_aspect)))
        width, height = round(image.width * math.sqrt(area * aspect)), round(image.height * math.sqrt(area / aspect))
        if 0 < width <= image.width and 0 < height <= image.height:
            left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
            window = image.crop((left, top, left + width, top + height))
            return window.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def flip(image: Image.Image, draw: random.Random, p: object) -> Image.Image:
    """The image, mirrored or not."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else image


def grayscale(image: Image.Image, draw: random.Random, p: object) -> Image.Image:
    """A blend with the grey image."""
    return Image.blend(image, image.convert("L").convert("RGB"), draw.uniform(*p.grayscale_range))


def color_jitter(image: Image.Image, draw: random.Random, p: object) -> Image.Image:
    """Brightness, contrast, saturation, and hue, which changes in Pillow's HSV as in torchvision."""
    *ranges, turns = p.color_jitter_ranges
    for enhance, limit in zip(
        (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), ranges, strict=True
    ):
        image = enhance(image).enhance(1 + draw.uniform(-limit, limit))
    hue, saturation, value = image.convert("HSV").split()
    turn = round(255 * draw.uniform(-turns, turns))
    hue = hue.point([(level + turn) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def erase(image: Image.Image, draw: random.Random, p: object) -> Image.Image:
    """A rectangle of noise."""
    if draw.random() >= p.erasing_probability:
        return image
    area, aspect = draw.uniform(*p.erasing_area) * SIDE * SIDE, draw.uniform(*p.erasing_aspect)
    width, height = (min(SIDE, round(math.sqrt(x))) for x in (area / aspect, area * aspect))
    corner = draw.randint(0, SIDE - width), draw.randint(0, SIDE - height)
    noise = Image.frombytes("RGB", (width, height), draw.randbytes(width * height * 3))
    image.paste(noise, corner)
    return image


PILLOW = {
    "random_crop": crop,
    "random_resized_crop": resized_crop,
    "horizontal_flip": flip,
    "grayscale": grayscale,
    "color_jitter": color_jitter,
    "random_erasing": erase,
}


def pillow_steps(names: list[str], params: object) -> list[Callable[[Image.Image, random.Random], Image.Image]]:
    """Pillow's operations for a list of augmentations. All warps are one operation, at the place of the first."""
    warps, steps = WARPS.intersection(names), []
    for name in names:
        if name not in WARPS:
            steps.append(partial(PILLOW[name], p=params))
        elif name == next(each for each in names if each in WARPS):
            steps.append(partial(warp, names=warps, p=params))
    return steps


def batches(run: Callable[[], Iterator[object]], least: float) -> tuple[float, float]:
    """Images per second, and microseconds of processor time per image, measured for at least `least` seconds."""
    stream = run()
    for _ in range(4):  # compile, and start the threads
        next(stream)
    start, worked, seen = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < least:
        next(stream)
        seen += BATCH
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    return seen / seconds, worked / seen * 1e6


def ours(params: Params, images: np.ndarray) -> Iterator[object]:
    """Endless batches of the project's augmentation."""
    augment, images = for_training(params), tf.constant(images)
    data = tf.data.Dataset.range(2**40)
    data = data.map(
        lambda n: augment(images[n % len(images)], tf.stack([params.seed, tf.cast(n, tf.int32)])),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return iter(data.batch(BATCH, drop_remainder=True).prefetch(params.prefetch_threads))


def pillow(params: Params, images: np.ndarray, pool: ThreadPoolExecutor) -> Iterator[object]:
    """Endless batches of Pillow's operations."""
    chosen = pillow_steps(params.augmentation, params)
    some = [pillow_steps([name], params)[0] for name in params.augmentation_pool]

    def one(number: int) -> np.ndarray:
        draw = random.Random(number)
        image = Image.fromarray(images[number % len(images)])
        more = draw.sample(some, draw.randint(*params.augmentation_pool_count)) if some else []
        for step in [*chosen, *more]:
            image = step(image, draw)
        return np.asarray(image)

    number = 0
    while True:
        yield np.stack(list(pool.map(one, range(number, number + BATCH))))
        number += BATCH


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augmentation", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.6, help="seconds per measurement (default: 0.6)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements per case (default: 3)")
    parser.add_argument("--only", help="measure only this case, such as 'all together'")
    args = parser.parse_args()
    if args.repeats < 1 or args.seconds <= 0:
        parser.error("--repeats must be at least 1, --seconds more than 0")
    cases = CASES | {"0-2 of 6 (pool)": None}
    if args.only is not None and args.only not in cases:
        parser.error(f"--only must be one of {', '.join(cases)}")

    prepare("cpu")
    threads = cores()
    large, small = make_images(256, PRE_CROP), make_images(256, SIDE)
    print(f"{SIDE}x{SIDE}, {threads} cores; system load at the start: {os.getloadavg()[0]:.1f}")
    print(f"{'':22}{'images/s':>10}{'CPU':>12}{'Pillow':>14}{'CPU':>12}{'ratio':>8}{'of CPU':>8}")
    with ThreadPoolExecutor(threads) as pool:
        for case, names in cases.items():
            if args.only not in (None, case):
                continue
            values = {"augmentation_pool": ORIGINAL, "augmentation": []} if names is None else {"augmentation": names}
            params = check_params(values | {"image_size": SIDE}, "benchmark")
            images = large if {"random_crop", "random_resized_crop"} & set(names or []) else small
            measured = []
            for _ in range(args.repeats):
                mine = batches(partial(ours, params, images), args.seconds)
                measured.append((*mine, *batches(partial(pillow, params, images, pool), args.seconds)))
            mine, work, theirs, their_work = map(statistics.median, zip(*measured, strict=True))
            ratio = statistics.median(a / b for a, _, b, _ in measured)
            ratio_of_work = statistics.median(b / a for _, a, _, b in measured)
            columns = f"{mine:10,.0f}{work:9,.0f} us{theirs:14,.0f}{their_work:9,.0f} us"
            print(f"{case:22}{columns}{ratio:8.2f}{ratio_of_work:8.2f}", flush=True)


if __name__ == "__main__":
    main()
