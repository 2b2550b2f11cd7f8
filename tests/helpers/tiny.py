"""A tiny data set, and runs on it that take a second."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.formats.episodes import write_episodes
from dataset.formats.manifest import write_manifest
from runtime.json_files import write_json

IDENTITIES, IMAGES = 6, 5
EVAL_SETS = ["val_eval", "query_gallery", "test"]

# The smallest run: a few steps of a small network, which take a second.
TINY = {
    "image_size": 16,
    "batch_p": 4,
    "batch_k": 2,
    "num_channels": [8, 8],
    "embedding_size": 8,
    "train_iterations": 4,
    "save_summary_steps": 2,
    "save_checkpoints_steps": 2,
    "eval_interval_secs": 0.2,
    "eval_timeout_secs": 60,
}


def make_dataset(folder: Path, identities: int = IDENTITIES, images: int = IMAGES, side: int = 24) -> Path:
    """A prepared data set with one evaluation set of each kind: identities are colours, in changing light and noise."""
    random = np.random.default_rng(0)
    rows = []
    for identity in range(identities):
        colour = random.integers(40, 216, 3)
        for number in range(images):
            path = folder / "images" / f"id {identity}" / f"{number}.jpg"  # a space, as in paths of users
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(
                colour + random.integers(-60, 61) + random.integers(-40, 41, (side, side, 3)), 0, 255
            ).astype(np.uint8)
            Image.fromarray(pixels).save(path, quality=95)
            rows.append((f"id {identity}", path.relative_to(folder).as_posix()))
    write_manifest(folder / "train.csv", rows)
    write_manifest(folder / "test.csv", rows)
    write_manifest(folder / "query.csv", rows[::images])
    write_manifest(folder / "gallery.csv", [row for i, row in enumerate(rows) if i % images])
    paths = [path for _, path in rows]
    episodes = [
        (paths[i], paths[i + 1], [paths[i - images], paths[i - 2 * images]]) for i in range(0, len(paths), images)
    ]
    write_episodes(folder / "episodes" / "val_eval.csv", episodes)
    info = {"name": "tiny", "origin": "noise", "licence": "none", "image_root": "."}
    write_json(folder / "dataset.json", info | {"counts": {"train_images": len(rows)}})
    return folder


def make_run(folder: Path, dataset: Path, **params: object) -> Path:
    """A run folder with a params.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps(TINY | {"dataset": str(dataset)} | params))
    return folder
