"""Synthetic videos in the layout of ImageNet VID: look-alike objects that move, turn, shrink and hide each other.

A snippet shows 3 to 5 instances of one category, sometimes only one, in front of a cluttered background. The camera
pans over the background. Light, contrast and colour cast change from frame to frame, so colours alone do not identify
an instance. Snippets never share instances, backgrounds or paths.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dataset.vid.annotations import SPLITS, Frame, VideoObject
from dataset.vid.synthetic.objects import CATEGORIES, Instance, Pose, footprint, paint, random_instances
from runtime.errors import UserError

WIDTH, HEIGHT = 192, 144  # size of a frame in pixels

_SINGLE_SHARE = 0.15  # fraction of snippets with one object
_RADII = 15.0, 23.0  # range of an object's radius in pixels, before changes of scale
_OCCLUDED_FROM = 0.25  # an object is occluded if a larger fraction of its area is hidden or outside the frame
_ABSENT_FROM = 0.65  # from this fraction on it is not annotated: its crop would mostly show what hides it
_JPEG_QUALITY = 92
_NOISE = 0.008  # standard deviation; pixel values are 0 to 1


def snippet_folder(split: str, number: int) -> str:
    """The folder of a snippet below its split, as in ImageNet VID."""
    name = f"ILSVRC2015_{split}_{number:05d}000"
    return f"ILSVRC2015_VID_train_0000/{name}" if split == "train" else name


def render_snippet(root: Path, frames: int, seed: int, pixels: bool, snippet: tuple[str, int]) -> None:
    """Writes frames and annotations of one snippet below the VID root. Existing files are overwritten.

    Args:
        pixels: False writes only the annotations.
        snippet: split and number of the snippet.

    Raises:
        UserError: when a file cannot be written.
    """
    split, number = snippet
    scene = Scene(np.random.default_rng([seed, SPLITS.index(split), number]), frames)
    folder = snippet_folder(split, number)
    for index in range(frames):
        picture, objects = scene.frame(index, pixels)
        frame = Frame(split, folder, f"{index:06d}", WIDTH, HEIGHT, tuple(objects))
        annotation = root / "Annotations" / "VID" / split / folder / f"{frame.name}.xml"
        image = frame.image_file(root)
        try:
            annotation.parent.mkdir(parents=True, exist_ok=True)
            if picture is not None:
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(image, "JPEG", quality=_JPEG_QUALITY)
            annotation.write_text(annotation_xml(frame), encoding="utf-8", newline="\n")
        except OSError as error:
            raise UserError(f"cannot write to {root}: {error.strerror or error}") from error


def annotation_xml(frame: Frame) -> str:
    """The text of a frame's annotation file, with the elements of ImageNet VID."""
    lines = [
        "<annotation>",
        f"\t<folder>{frame.folder}</folder>",
        f"\t<filename>{frame.name}</filename>",
        "\t<source>",
        "\t\t<database>ILSVRC_2015</database>",
        "\t</source>",
        "\t<size>",
        f"\t\t<width>{frame.width}</width>",
        f"\t\t<height>{frame.height}</height>",
        "\t</size>",
    ]
    for o in frame.objects:
        lines += ["\t<object>", f"\t\t<trackid>{o.trackid}</trackid>", f"\t\t<name>{o.category}</name>", "\t\t<bndbox>"]
        lines += [f"\t\t\t<{side}>{getattr(o, side):.0f}</{side}>" for side in ("xmax", "xmin", "ymax", "ymin")]
        lines += ["\t\t</bndbox>", f"\t\t<occluded>{o.occluded:d}</occluded>"]
        lines += [f"\t\t<generated>{o.generated:d}</generated>", "\t</object>"]
    return "\n".join([*lines, "</annotation>", ""])


class Scene:
    """The objects and the background of one snippet. `frame(i)` draws frame i; call it once per frame, in order."""

    def __init__(self, rng: np.random.Generator, frames: int):
        self.rng = rng
        category = CATEGORIES[rng.integers(len(CATEGORIES))]
        count = 1 if rng.uniform() < _SINGLE_SHARE else int(rng.integers(3, 6))
        self.instances = random_instances(rng, category, count)
        self.motions = [Motion(rng, home) for home in _homes(rng, count)]
        self.occluders = [Occluder(rng) for _ in range(rng.integers(1, 3))]
        self.background = clutter(rng, 2 * WIDTH, 2 * HEIGHT, 120)
        self.pan = Sway(rng, period=(6, 14))

    def frame(self, index: int, draw: bool = True) -> tuple[np.ndarray | None, list[VideoObject]]:
        """Frame `index`: pixels (HEIGHT, WIDTH, 3) uint8, or None without `draw`, and its annotated objects."""
        rng, light, canvas = self.rng, None, np.zeros((HEIGHT, WIDTH, 3))
        if draw:
            left, top = (self.pan(index) + 1) / 2 * (WIDTH, HEIGHT)
            window = (left, top, left + WIDTH, top + HEIGHT)
            view = self.background.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=window)
            canvas = np.asarray(view) / 255.0
            angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.35)
            light = strength * math.cos(angle), strength * math.sin(angle)
        poses = [motion.pose(index) for motion in self.motions]
        visible: list[np.ndarray] = []
        for instance, pose in zip(self.instances, poses, strict=True):
            _hide(visible, coverage := paint(canvas, instance, pose, light))
            visible.append(coverage)
        for occluder in self.occluders:
            _hide(visible, occluder.paint(canvas, index))
        pixels = _expose(rng, canvas) if draw else None
        every = enumerate(zip(self.instances, poses, visible, strict=True))
        objects = [_annotate(trackid, instance, pose, float(seen.sum())) for trackid, (instance, pose, seen) in every]
        return pixels, [annotated for annotated in objects if annotated]


def _hide(visible: list[np.ndarray], coverage: np.ndarray) -> None:
    for other in visible:
        other *= 1 - coverage


def _annotate(trackid: int, instance: Instance, pose: Pose, seen: float) -> VideoObject | None:
    """The annotation of an object with `seen` visible pixels, its box clipped to the frame; None if mostly hidden."""
    area, box = footprint(instance, pose)
    hidden = 1 - seen / area
    if hidden >= _ABSENT_FROM:
        return None
    x0, y0, x1, y1 = np.clip(np.rint(box), 0, (WIDTH - 1, HEIGHT - 1, WIDTH - 1, HEIGHT - 1)).tolist()
    return VideoObject(trackid, instance.category.name, x0, y0, x1, y1, hidden > _OCCLUDED_FROM, generated=False)


def _expose(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """A frame with random brightness, contrast, colour cast and noise: (H, W, 3) float -> uint8."""
    contrast = rng.uniform(0.7, 1.1)
    gain = rng.uniform(0.65, 1.2) * np.exp(rng.normal(0, 0.13, 3))
    seen = ((canvas - 0.5) * contrast + 0.5) * gain + _NOISE * rng.standard_normal(canvas.shape, np.float32)
    return np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)


class Sway:
    """A smooth path in [-1, 1] x [-1, 1]: a slow sine per axis, with random period (in frames) and phase."""

    def __init__(self, rng: np.random.Generator, period: tuple[float, float]):
        self.omega = 2 * math.pi / rng.uniform(*period, 2)
        self.phase = rng.uniform(0, 2 * math.pi, 2)

    def __call__(self, index: int) -> np.ndarray:
        return np.sin(self.omega * index + self.phase)


class Motion:
    """The motion of one object: path, rotation, changes of scale, and tilt."""

    def __init__(self, rng: np.random.Generator, home: np.ndarray):
        self.home = home
        self.span = rng.uniform(0.15, 0.35, 2) * (WIDTH, HEIGHT)
        self.path = Sway(rng, (7, 16))
        self.form = Sway(rng, (5, 12))
        self.radius = rng.uniform(*_RADII)
        self.angle = rng.uniform(0, 2 * math.pi)
        self.spin = rng.choice([-1, 1]) * rng.uniform(0.3, 1.1)  # radians per frame
        self.tilt = rng.uniform(0, math.pi)

    def pose(self, index: int) -> Pose:
        x, y = self.home + self.span * self.path(index)
        grow, turn = self.form(index)
        return Pose(
            x=float(x),
            y=float(y),
            radius=self.radius * 1.3 ** float(grow),
            angle=self.angle + self.spin * index,
            squeeze=0.85 + 0.15 * float(turn),
            tilt=self.tilt,
        )


def _homes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 2) centres of the objects' paths: the draw with the largest smallest distance among 20."""
    draws = rng.uniform((0.22, 0.25), (0.78, 0.75), (20, count, 2)) * (WIDTH, HEIGHT)
    gaps = np.linalg.norm(draws[:, :, None] - draws[:, None], axis=-1)  # (20, count, count)
    gaps += 1e6 * np.eye(count)
    return draws[np.argmax(gaps.min(axis=(1, 2)))]


class Occluder:
    """A cluttered bar or blob that passes in front of everything."""

    def __init__(self, rng: np.random.Generator):
        blob = rng.uniform() < 0.5
        width, height = rng.integers(24, 44, 2).tolist() if blob else (int(rng.integers(12, 22)), 2 * HEIGHT)
        self.size = width, height
        picture = clutter(rng, width, height, 25)
        mask = Image.new("L", self.size, 255)
        if blob:
            mask = Image.new("L", (4 * self.size[0], 4 * self.size[1]), 0)
            ImageDraw.Draw(mask).ellipse((0, 0, mask.width - 1, mask.height - 1), fill=255)
            mask = mask.resize(self.size, Image.Resampling.BOX)
        self.picture, self.mask = np.asarray(picture) / 255.0, np.asarray(mask) / 255.0
        self.path = Sway(rng, (8, 20))

    def paint(self, canvas: np.ndarray, index: int) -> np.ndarray:
        """Paints frame `index` on `canvas` (H, W, 3) in place. Returns the coverage (H, W)."""
        w, h = self.size
        at = (self.path(index) + 1) / 2 * (WIDTH, HEIGHT)
        x, y = (int(v) for v in np.rint(at - np.array(self.size) / 2))
        x0, x1, y0, y1 = max(0, x), min(WIDTH, x + w), max(0, y), min(HEIGHT, y + h)
        mask = self.mask[y0 - y : y1 - y, x0 - x : x1 - x]
        coverage = np.zeros((HEIGHT, WIDTH))
        coverage[y0:y1, x0:x1] = mask
        patch = canvas[y0:y1, x0:x1]
        patch += mask[..., None] * (self.picture[y0 - y : y1 - y, x0 - x : x1 - x] - patch)
        return coverage


def clutter(rng: np.random.Generator, width: int, height: int, shapes: int) -> Image.Image:
    """An RGB background (width, height) of overlapping shapes in all colours."""
    image = Image.new("RGB", (width, height), tuple(int(c) for c in rng.integers(60, 180, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(shapes):
        x, y = (int(v) for v in rng.integers((0, 0), (width, height)))
        a, b = (int(v) for v in rng.integers(4, 26, 2))
        colour = tuple(int(c) for c in rng.integers(40, 200, 3))
        kind = rng.integers(3)
        if kind == 0:
            draw.ellipse((x - a, y - b, x + a, y + b), fill=colour)
        elif kind == 1:
            points = rng.integers(-26, 26, (4, 2)) + np.array([x, y])
            draw.polygon([(int(px), int(py)) for px, py in points], fill=colour)
        else:
            draw.line((x - a, y - b, x + a, y + b), fill=colour, width=int(rng.integers(2, 7)))
    return image.filter(ImageFilter.GaussianBlur(1.0))
