"""NMI and AMI of embeddings with known clusters."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from model.metrics import clusters
from model.metrics.clusters import cluster_metrics, definitions
from runtime.errors import UserError


def blobs(seed: int, identities: int = 8, images: int = 12, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(identities, 16))
    labels = np.repeat([f"id {i}" for i in range(identities)], images)
    return np.repeat(centres, images, 0) + noise * rng.normal(size=(len(labels), 16)), labels


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "cityblock"])
def test_clusters_that_are_the_identities(metric: str) -> None:
    """For any lengths of the embeddings, if only directions count."""
    emb, labels = blobs(0, identities=4)
    if metric == "cosine":
        emb *= np.random.default_rng(0).uniform(0.1, 10, (len(emb), 1))
    assert cluster_metrics(emb, labels, metric=metric) == pytest.approx({"nmi": 1.0, "ami": 1.0})


def test_noise_has_no_ami_but_nmi() -> None:
    rng = np.random.default_rng(0)
    figures = cluster_metrics(rng.normal(size=(400, 8)), rng.integers(0, 100, 400))
    assert abs(figures["ami"]) < 0.1
    assert figures["nmi"] > 0.5


def test_k_means_of_scikit_learn() -> None:
    emb, labels = blobs(1, noise=1.0)
    found = KMeans(8, n_init=1, random_state=3).fit_predict((emb - emb.mean(0)).astype(np.float32))
    figures = cluster_metrics(emb, labels, seed=3)
    assert figures["nmi"] == pytest.approx(normalized_mutual_info_score(labels, found))
    assert 0.2 < figures["nmi"] < 1
    assert cluster_metrics(emb, labels, seed=3) == figures


def test_large_sets_go_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    emb, labels = blobs(4, identities=5, images=40)
    monkeypatch.setattr(clusters, "LARGE", 10)
    figures = cluster_metrics(emb, labels)
    assert figures == cluster_metrics(emb, labels)
    assert figures["nmi"] > 0.7
    assert "mini-batch" in definitions(200, 5)["nmi"]


def test_a_collapsed_embedding_and_one_identity() -> None:
    assert cluster_metrics(np.ones((20, 4)), np.arange(20) // 4) == {"nmi": 0.0, "ami": 0.0}
    assert all(np.isfinite(list(cluster_metrics(np.random.default_rng(0).normal(size=(9, 4)), np.zeros(9)).values())))


def test_definitions_and_invalid_input() -> None:
    text = definitions(100, 7, "cosine", 4)["nmi"]
    assert all(words in text for words in ("seed 4", "n_init 1", "(7)", "L2-normalised", "k-means++"))
    with pytest.raises(UserError, match="NaN or infinite"):
        cluster_metrics(np.full((4, 2), np.nan), np.arange(4))
