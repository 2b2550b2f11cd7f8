"""What several test files use: a tiny data set, runs on it, and commands as a user gives them."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.formats.episodes import write_episodes
from dataset.formats.manifest import write_manifest
from dataset.formats.prepared import write_dataset_json

ROOT = Path(__file__).resolve().parent.parent
IDENTITIES, IMAGES = 6, 5

# TensorFlow warns, when a test session ends, of every checkpoint that was refused in it.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

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
            path = folder / "images" / f"id {identity}" / f"{number}.jpg"  # a space, as users have
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
    counts = {"train_images": len(rows)}
    write_dataset_json(folder, name="tiny", origin="noise", licence="none", image_root=".", counts=counts)
    return folder


def make_run(folder: Path, dataset: Path, **params: object) -> Path:
    """A run folder with a params.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps(TINY | {"dataset": str(dataset)} | params))
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prepared data set that nobody changes."""
    return make_dataset(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture
def own_dataset(tmp_path: Path) -> Path:
    """A tiny prepared data set that the test may spoil."""
    return make_dataset(tmp_path / "own data")


def command(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs `python WORDS` in the project's folder, as a user would."""
    line = [sys.executable, *map(str, words)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment(), **options)


def environment() -> dict[str, str]:
    """The environment of commands: one that works without a terminal and without a GPU."""
    return os.environ | {"PYTHONUNBUFFERED": "1", "CUDA_VISIBLE_DEVICES": "-1"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    """A finished run, made by train.py, that nobody changes."""
    run = make_run(tmp_path_factory.mktemp("runs") / "trained", dataset)
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project, or the one that TRIPLET_DATA names; skips without it."""
    folder = Path(os.environ.get("TRIPLET_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set TRIPLET_DATA to its folder")
    return folder
