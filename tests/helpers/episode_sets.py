"""Episodes made up for tests."""

from pathlib import Path

import numpy as np

from dataset.formats.episodes import Episodes


def make(triples: list[tuple[int, int, list[int]]], images: int) -> Episodes:
    """Episodes from (anchor, positive, negatives), indices of images."""
    lengths = [len(negatives) for _, _, negatives in triples]
    return Episodes(
        names=np.array([str(i) for i in range(len(triples))], object),
        paths=np.array([f"{i}.jpg" for i in range(images)], object),
        anchors=np.array([anchor for anchor, _, _ in triples]),
        positives=np.array([positive for _, positive, _ in triples]),
        negatives=np.concatenate([negatives for _, _, negatives in triples]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        image_root=Path(),
        source=Path("e.csv"),
    )


def random_episodes(rng: np.random.Generator, number: int, images: int) -> Episodes:
    triples = []
    for _ in range(number):
        chosen = rng.permutation(images)[: rng.integers(3, 9)].tolist()
        triples.append((chosen[0], chosen[1], chosen[2:]))
    return make(triples, images)
