"""Market-1501's real lists with made-up embeddings, and an evaluation of them that sorts everything."""

from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from dataset.formats.manifest import Manifest, read_manifest


def market_lists(shared_data: Path) -> tuple[Manifest, Manifest]:
    """Query (3 368) and gallery (19 732)."""
    lists = shared_data / "reid_lists"
    return tuple(read_manifest(lists / f"market1501_{name}.csv", Path()) for name in ("query", "test"))


def structured(query: Manifest, gallery: Manifest, dimensions: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings float32 that scatter about a point for each identity, which leaves many errors."""
    random = np.random.default_rng(seed)
    names = sorted({*query.identities, *gallery.identities})
    centres = dict(zip(names, 0.6 * random.standard_normal((len(names), dimensions)), strict=True))

    def embed(manifest: Manifest) -> np.ndarray:
        around = np.array([centres[identity] for identity in manifest.identities])
        return (around + random.standard_normal(around.shape)).astype(np.float32)

    return embed(query), embed(gallery)


def cameras(manifest: Manifest) -> np.ndarray:
    """The camera of Market-1501's file names: 0001_c1s1_001051_00.jpg."""
    return np.array([Path(path).name.split("_c")[1][0] for path in manifest.paths])


def evaluate_by_sorting(
    distances: np.ndarray, query: Manifest, gallery: Manifest, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Figures of some queries from their rows of a distance matrix: scikit-learn's AP, and the published trapezoid."""
    gallery_cameras, query_cameras = cameras(gallery), cameras(query)
    found = {"map": [], "map_market": [], "minp": [], "first_rank": []}
    for row in rows:
        same = gallery.identities == query.identities[row]
        keep = ~((same & (gallery_cameras == query_cameras[row])) | (gallery.identities == "-1"))
        match, near = same[keep], distances[row][keep]
        hits = match[np.argsort(near, kind="stable")]
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        before = np.concatenate([[1.0], precision[:-1]])
        places = np.flatnonzero(hits) + 1
        found["map"].append(average_precision_score(match, -near))
        found["map_market"].append(((before + precision) / 2)[hits].mean())
        found["minp"].append(hits.sum() / places[-1])
        found["first_rank"].append(places[0])
    return {name: np.array(values) for name, values in found.items()}


def float64_distances(query_emb: np.ndarray, gallery_emb: np.ndarray) -> np.ndarray:
    """Euclidean distances from differences of coordinates, (Q, G) float64."""
    return cdist(query_emb.astype(np.float64), gallery_emb.astype(np.float64))
