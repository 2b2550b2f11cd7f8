"""Textured objects for synthetic videos: a category defines outline and base colours, an instance the details.

An object has its own plane, with its outline inside the unit disc. A pose maps the plane into the picture. All details
are drawn in the plane, so they turn, shrink and tilt with the object.
"""

import colorsys
import math
from dataclasses import dataclass

import numpy as np

PATTERNS = ("stripes", "rings", "spokes")


@dataclass(frozen=True)
class Category:
    """Outline and base colours of all instances of a category.

    Attributes:
        name: a WordNet-like id; real ids have no 9 after the n.
        lobes, depth: the outline is the curve r(t) = (1 + depth cos(lobes t)) / (1 + depth).
        aspect: height of the outline / its width.
        hue: hue of the body, in turns; the hue of the pattern is 0.12 higher.
    """

    name: str
    lobes: int
    depth: float
    aspect: float
    hue: float


CATEGORIES = (
    Category("n90000001", 0, 0.0, 0.72, 0.02),
    Category("n90000002", 3, 0.16, 1.0, 0.30),
    Category("n90000003", 4, 0.12, 0.95, 0.58),
    Category("n90000004", 5, 0.20, 1.0, 0.12),
    Category("n90000005", 2, 0.28, 0.90, 0.78),
)


@dataclass(frozen=True)
class Instance:
    """The details that distinguish one object from others of its category, drawn from continuous ranges.

    Attributes:
        pattern: index into PATTERNS.
        frequency: periods of the pattern per radius; for spokes, periods per turn / 3, rounded.
        direction: angle between the stripes and the object's long axis, radians in [0, pi).
        share: fraction of the pattern's colour, in (0, 1).
        marks: number of round marks, spread evenly on a circle.
        mark_radius, mark_distance, mark_turn: size of the marks, distance from the centre, angle of the first one.
        accent: hue of the marks, in turns.
        rim: width of the rim; 0 for none.
        rim_light: brightness of the rim, 0 to 1.
    """

    category: Category
    pattern: int
    frequency: float
    direction: float
    share: float
    marks: int
    mark_radius: float
    mark_distance: float
    mark_turn: float
    accent: float
    rim: float
    rim_light: float


@dataclass(frozen=True)
class Pose:
    """The position of an object: centre and radius in pixels, rotation, shortening `squeeze` along `tilt`; radians."""

    x: float
    y: float
    radius: float
    angle: float
    squeeze: float
    tilt: float


def random_instance(rng: np.random.Generator, category: Category) -> Instance:
    """An object with random details."""
    return Instance(
        category=category,
        pattern=int(rng.integers(len(PATTERNS))),
        frequency=rng.uniform(0.7, 1.9),
        direction=rng.uniform(0, math.pi),
        share=rng.uniform(0.35, 0.65),
        marks=int(rng.integers(1, 5)),
        mark_radius=rng.uniform(0.2, 0.3),
        mark_distance=rng.uniform(0.3, 0.6),
        mark_turn=rng.uniform(0, 2 * math.pi),
        accent=rng.uniform(),
        rim=rng.uniform(0.1, 0.24) if rng.uniform() < 0.6 else 0.0,
        rim_light=rng.choice([0.05, 0.95]),
    )


def difference(one: Instance, other: Instance) -> float:
    """How clearly two instances of a category differ: about the number of details that a person would name."""
    hue = abs(one.accent - other.accent)
    rims = abs(one.rim - other.rim) / 0.12
    if one.rim and other.rim:
        rims += abs(one.rim_light - other.rim_light)
    return (
        float(one.pattern != other.pattern)
        + abs(one.frequency - other.frequency) / 0.6
        + min(abs(one.marks - other.marks), 2) / 2
        + min(hue, 1 - hue) * 4
        + min(rims, 1.0)
    )


def random_instances(rng: np.random.Generator, category: Category, count: int, apart: float = 1.7) -> list[Instance]:
    """Random objects of one category; any two of them differ by at least `apart` (see `difference`)."""
    chosen: list[Instance] = []
    while len(chosen) < count:
        candidate = random_instance(rng, category)
        if all(difference(candidate, other) >= apart for other in chosen):
            chosen.append(candidate)
    return chosen


def paint(canvas: np.ndarray, instance: Instance, pose: Pose, light: tuple[float, float] | None) -> np.ndarray:
    """Paints an object on a picture.

    Args:
        canvas: (H, W, 3) float in [0, 1]; changed in place.
        light: direction of the light in the picture; its length is the strength of the shading. None paints nothing.

    Returns:
        (H, W) float: coverage of every pixel by the object; edges are blurred over one pixel.
    """
    height, width = canvas.shape[:2]
    coverage = np.zeros((height, width))
    reach = pose.radius + 1
    x0, x1 = max(0, math.floor(pose.x - reach)), min(width, math.ceil(pose.x + reach) + 1)
    y0, y1 = max(0, math.floor(pose.y - reach)), min(height, math.ceil(pose.y + reach) + 1)
    if x0 >= x1 or y0 >= y1:
        return coverage
    dx = (np.arange(x0, x1) - pose.x)[None, :] / pose.radius  # (1, w)
    dy = (np.arange(y0, y1) - pose.y)[:, None] / pose.radius  # (h, 1)
    u, v = _to_object(dx, dy, pose)  # (h, w) each, like the arrays below
    # Polar coordinates in the object's plane, with the height stretched to the width.
    stretched = v / instance.category.aspect
    r, t = np.hypot(u, stretched), np.arctan2(stretched, u)
    inside = _outline(instance.category, t) - r  # > 0 inside
    pixel = 1 / (pose.radius * pose.squeeze)  # about one pixel, in units of the object's plane
    alpha = np.clip(inside * instance.category.aspect / pixel + 0.5, 0, 1)
    coverage[y0:y1, x0:x1] = alpha
    if light:
        shading = 1 + light[0] * dx + light[1] * dy
        colour = _colour(instance, u, v, r, t, inside, pixel)  # (h, w, 3)
        patch = canvas[y0:y1, x0:x1]
        patch += alpha[..., None] * (np.clip(colour * shading[..., None], 0, 1) - patch)
    return coverage


def footprint(instance: Instance, pose: Pose) -> tuple[float, np.ndarray]:
    """Area in pixels and box (xmin, ymin, xmax, ymax) of the whole object, including parts outside the picture."""
    t = np.linspace(0, 2 * math.pi, 181)
    r = _outline(instance.category, t)
    u, v = r * np.cos(t), r * np.sin(t) * instance.category.aspect
    x, y = _to_picture(u, v, pose)
    area = 0.5 * abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
    return float(area), np.array([x.min(), y.min(), x.max(), y.max()])


def _to_object(dx: np.ndarray, dy: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    c, s = math.cos(pose.tilt), math.sin(pose.tilt)
    along, across = (c * dx + s * dy) / pose.squeeze, -s * dx + c * dy
    c, s = math.cos(pose.angle - pose.tilt), math.sin(pose.angle - pose.tilt)
    return c * along + s * across, -s * along + c * across


def _to_picture(u: np.ndarray, v: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    c, s = math.cos(pose.angle - pose.tilt), math.sin(pose.angle - pose.tilt)
    along, across = (c * u - s * v) * pose.squeeze, s * u + c * v
    c, s = math.cos(pose.tilt), math.sin(pose.tilt)
    return pose.x + pose.radius * (c * along - s * across), pose.y + pose.radius * (s * along + c * across)


def _outline(category: Category, t: np.ndarray) -> np.ndarray:
    return (1 + category.depth * np.cos(category.lobes * t)) / (1 + category.depth)


def _colour(
    instance: Instance, u: np.ndarray, v: np.ndarray, r: np.ndarray, t: np.ndarray, inside: np.ndarray, pixel: float
) -> np.ndarray:
    """Colour (h, w, 3) of an object at points of its plane, (h, w) each. Edges are blurred over one pixel."""
    kind = PATTERNS[instance.pattern]
    if kind == "stripes":
        phase = instance.frequency * (u * math.cos(instance.direction) + v * math.sin(instance.direction))
        slope = instance.frequency
    elif kind == "rings":
        phase, slope = instance.frequency * r + 0.25, instance.frequency
    else:
        turns = max(2, round(3 * instance.frequency))
        phase, slope = turns * t / (2 * math.pi), turns / (2 * math.pi) / np.maximum(r, 0.1)
    wave = np.abs(2 * (phase - np.floor(phase)) - 1)  # triangle wave in [0, 1]; the fraction of values above x is 1 - x
    second = np.clip((wave - (1 - instance.share)) / (2 * slope * pixel) + 0.5, 0, 1)
    category, away = instance.category, instance.mark_distance
    body = np.array(colorsys.hsv_to_rgb(category.hue, 0.45, 0.90))
    pattern = np.array(colorsys.hsv_to_rgb((category.hue + 0.12) % 1, 0.75, 0.45))
    colour = body + second[..., None] * (pattern - body)

    accent = np.array(colorsys.hsv_to_rgb(instance.accent, 0.9, 0.95))
    for turn in instance.mark_turn + 2 * math.pi * np.arange(instance.marks) / instance.marks:
        distance = np.hypot(u - away * math.cos(turn), v - away * math.sin(turn) * category.aspect)
        mark = np.clip((instance.mark_radius - distance) / pixel + 0.5, 0, 1)
        colour = colour + mark[..., None] * (accent - colour)

    if instance.rim:
        rim = np.clip((instance.rim - inside) / pixel + 0.5, 0, 1)
        colour = colour + rim[..., None] * (instance.rim_light - colour)
    return colour
