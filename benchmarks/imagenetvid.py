"""The speed of cropping ImageNet VID, compared with only decoding the same frames; and the cost of curation.

    python -m benchmarks.imagenetvid

Cropping: 1280x720 frames with two objects each, with one process per core. It takes turns with plain decoding by the
same library and as many processes; the important number is the ratio. Curation: the commands index and curate on
synthetic annotations of 100 000 frames. Memory is the peak of the largest process.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.vid.annotations import Frame, VideoObject
from dataset.vid.synthetic.render import annotation_xml, clutter
from runtime.parallel import cores, run_parallel

WIDTH, HEIGHT = 1280, 720
COMMAND = "dataset.prepare.imagenetvid"


def make_frames(root: Path, count: int) -> list[Path]:
    """A val snippet of cluttered, noisy frames with two boxes each, of the size of real ones."""
    random = np.random.default_rng(0)
    picture = clutter(random, WIDTH, HEIGHT, 1500)
    folder, files = "ILSVRC2015_val_00000000", []
    for number in range(count):
        boxes = []
        for _ in range(2):
            w, h = random.uniform((80, 60), (500, 400))
            x, y = random.uniform((0, 0), (WIDTH - w, HEIGHT - h))
            boxes.append([round(v) for v in (x, y, x + w, y + h)])
        objects = tuple(VideoObject(i, "n02084071", *box, False, False) for i, box in enumerate(boxes))
        frame = Frame("val", folder, f"{number:06d}", WIDTH, HEIGHT, objects)
        noise = random.normal(0, 6, (HEIGHT, WIDTH, 1))
        shifted = np.roll(np.asarray(picture), (number, 3 * number), (0, 1))
        file = frame.image_file(root)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(shifted + noise, 0, 255).astype(np.uint8)).save(file, quality=90)
        xml = root / "Annotations" / "VID" / "val" / folder / f"{frame.name}.xml"
        xml.parent.mkdir(parents=True, exist_ok=True)
        xml.write_text(annotation_xml(frame))
        files.append(file)
    return files


def decode(files: list[Path]) -> int:
    """Decodes files with the library that cropping uses. Returns their number."""
    for file in files:
        with Image.open(file) as image:
            image.load()
    return len(files)


def decode_all(files: list[Path], workers: int) -> float:
    """Seconds to decode all files in `workers` processes, including their start."""
    start = time.perf_counter()
    sum(run_parallel(decode, [files[i : i + 16] for i in range(0, len(files), 16)], workers))
    return time.perf_counter() - start


# Runs a module's command, and prints the peak memory of its largest process in megabytes.
_MEASURED = """
import resource, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    print("PEAK", max(resource.getrusage(kind).ru_maxrss for kind in kinds) // 1024)
"""


def run(*words: object) -> tuple[float, int]:
    """Seconds and peak megabytes of `python -m WORDS`."""
    start = time.perf_counter()
    line = [sys.executable, "-c", _MEASURED, *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start, int(re.search(r"PEAK (\d+)", done.stdout)[1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imagenetvid", description=__doc__.splitlines()[0])
    parser.add_argument("--crop_frames", type=int, default=1000, help="frames to crop (default: 1000)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of cropping (default: 3)")
    parser.add_argument("--frames", type=int, default=100_000, help="frames to curate (default: 100000)")
    args = parser.parse_args()
    if min(args.crop_frames, args.repeats) < 1 or args.frames < 1000:
        parser.error("--crop_frames and --repeats must be at least 1, --frames at least 1000")
    workers = cores()
    with tempfile.TemporaryDirectory() as scratch:
        root, out = Path(scratch) / "vid", Path(scratch) / "out"
        files = make_frames(root, args.crop_frames)
        decoding, cropping = [], []
        for number in range(args.repeats):
            decoding.append(len(files) / decode_all(files, workers))
            seconds, peak = run(COMMAND, "crop", "--root", root, "--out", f"{out}{number}", "--workers", workers)
            cropping.append(len(files) / seconds)
        ratio = statistics.median(c / d for c, d in zip(cropping, decoding, strict=True))
        print(f"1280x720 frames, two objects each, {workers} processes, {len(files):,} frames, start included")
        print(f"  decoding only  {statistics.median(decoding):6.0f} frames/s")
        print(f"  crop           {statistics.median(cropping):6.0f} frames/s, ratio {ratio:.2f}, {peak} MB")
        if len(files) >= 400:
            _, small = run(COMMAND, "crop", "--root", _part(root, len(files) // 4), "--out", f"{out}small")
            print(f"  memory with a quarter of the frames: {small} MB")

        snippets = args.frames // 300 or 1
        made = Path(scratch) / "synthetic"
        numbers = ("--train_snippets", snippets * 3 // 4 or 1, "--val_snippets", -(-snippets // 4), "--frames", 300)
        run("dataset.prepare.synthetic_vid", "--out", made, "--annotations_only", *numbers)
        frames = sum(1 for _ in made.rglob("*.xml"))
        print(f"annotations of {frames:,} frames")
        for words in (("index", "--root", made / "vid"), ("curate", "--seed", 0)):
            seconds, peak = run(COMMAND, *words, "--out", Path(scratch) / "curated")
            print(f"  {words[0]:8}{seconds:6.1f} s, {peak} MB")


def _part(root: Path, count: int) -> Path:
    """A tree with the first `count` frames of another tree."""
    small = root.with_name("small")
    for xml in sorted(root.rglob("*.xml"))[:count]:
        for file in (xml, *root.rglob(f"{xml.stem}.JPEG")):
            link = small / file.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(file)
    return small


if __name__ == "__main__":
    main()
