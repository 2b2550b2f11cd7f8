"""Fixtures for the commands of visualize.py."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.embedded_sets import noise
from helpers.embedding_files import write_embeddings
from PIL import Image

from dataset.formats.manifest import read_manifest, write_manifest


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x.h5 and x.csv of 41 images of ten identities and one that is alone, with names that need escaping.

    Image 1 is missing and 2 is none. They and their neighbours 0 and 3 are taken for each other's identity.
    """
    folder = tmp_path_factory.mktemp("embeddings")
    emb, labels = noise(41, 10, 6, apart=20)
    emb[1], emb[3], emb[40] = emb[0] + 0.01, emb[2] + 0.01, -emb[40]
    rows = [(f"<b>id {label} & 車", f"Größe <{number}> $.png") for number, label in enumerate(labels)]
    rows[40] = ("alone", "x" * 90 + ".png")
    for number, (_, path) in enumerate(rows[3:], 3):
        size = (30, 60) if number % 2 else (60, 30)
        mode = {3: "I;16", 4: "RGBA", 5: "L", 6: "P"}.get(number, "RGB")
        Image.new(mode, size, 6 * number).save(folder / path)
    Image.new("RGB", (30, 60)).save(folder / rows[0][1])
    (folder / rows[2][1]).write_text("no image")
    write_manifest(folder / "x.csv", rows)
    attributes = {"step": 7, "checkpoint": "ckpt-<7>", "params": json.dumps({"metric": "cosine"})}
    write_embeddings(folder / "x.h5", np.float32(emb), read_manifest(folder / "x.csv", folder), attributes)
    return folder
