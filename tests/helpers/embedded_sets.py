"""Sets of images with embeddings, as the pictures of visualize.py are drawn of."""

from pathlib import Path

import numpy as np

from dataset.formats.manifest import Manifest
from visualization.sources.embedded_set import EmbeddedSet, Lists, assemble_set


def image_list(identities, cameras=None, prefix="q") -> Manifest:
    """Images q0.jpg, q1.jpg, ..."""
    paths = [f"{prefix}{number}.jpg" for number in range(len(identities))]
    names = np.array([str(identity) for identity in identities], object)
    return Manifest(names, np.array(paths, object), Path(), Path("list.csv"), cameras)


def embedded_set(emb, query, gallery=None, *, metric="euclidean", title="noise, test") -> EmbeddedSet:
    """Images with these identities, each against all others, or against those of a gallery."""
    first = image_list(query)
    second = first if gallery is None else image_list(gallery, prefix="g")
    emb = np.asarray(emb, np.float32)
    return assemble_set(Lists(first, second, "diagonal"), emb, metric, title=title, facts={"step": "1,200"})


def noise(count, identities, dimensions, seed=0, apart=1.0):
    """Embeddings (count, D) about centres that lie `apart` times as far as they spread, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % identities
    centres = apart * random.normal(size=(identities, dimensions))
    return (centres[labels] + random.normal(size=(count, dimensions))).astype(np.float32), labels
