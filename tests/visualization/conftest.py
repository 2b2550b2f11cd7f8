"""What the tests of several commands of visualize.py use."""

from pathlib import Path

import numpy as np
import pytest
from helpers.embedded_sets import noise
from helpers.embedding_files import write_embeddings
from PIL import Image

from dataset.formats.manifest import Manifest, write_manifest


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x.h5 and x.csv of images that are there, portrait, landscape and grey, with names that need care."""
    folder = tmp_path_factory.mktemp("embeddings")
    emb, labels = noise(40, 10, 6, apart=20)
    rows = [(f"id {label} & 車", f"Größe <{number}> $.png") for number, label in enumerate(labels)]
    for number, (_, path) in enumerate(rows):
        size = (30, 60) if number % 2 else (60, 30)
        Image.new("L" if number % 3 else "RGB", size, 6 * number).save(folder / path)
    write_manifest(folder / "x.csv", rows)
    listed = Manifest(*(np.array(column, object) for column in zip(*rows, strict=True)), folder, folder / "x.csv")
    write_embeddings(folder / "x.h5", emb, listed, {"step": 7})
    return folder
