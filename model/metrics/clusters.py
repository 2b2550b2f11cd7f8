"""NMI and AMI: how well k-means clusters, found without labels, agree with the identities.

NMI is common in the metric learning literature on CUB-200, Cars196 and Stanford Online Products (Song et al., Deep
Metric Learning via Lifted Structured Feature Embedding, CVPR 2016, section 5). AMI is corrected for chance (Vinh et
al., JMLR 2010): with many small identities, NMI is high even for noise, but AMI is near 0.
"""

import warnings

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from model.distances import has_unit_length
from model.metrics.vectors import as_vectors, centre_and_scale, centred_single, check_vectors

LARGE = 5e7  # images x identities; above, k-means takes minutes for each of its many passes
BATCH = 8192
PASSES = 20
INIT = 1  # starts; each additional one takes the full time again


def definitions(images: int, identities: int, metric: str = "euclidean", seed: int = 0) -> dict[str, str]:
    """The definitions of `nmi` and `ami`, including how the clusters are computed."""
    if images * identities > LARGE:
        how = (
            f"mini-batch k-means of scikit-learn (batches of {BATCH}, at most {PASSES} passes, random images to start)"
        )
    else:
        how = "k-means of scikit-learn (Lloyd, k-means++)"
    space = "L2-normalised embeddings" if has_unit_length(metric) else "embeddings, by Euclidean distance"
    clusters = f"{how}, n_init {INIT}, seed {seed}, with as many clusters as identities ({identities}), of the {space}"
    return {
        "nmi": f"normalised mutual information (arithmetic mean) of identities and clusters: {clusters}",
        "ami": "adjusted mutual information (arithmetic mean) of the same identities and clusters; 0 for chance",
    }


def cluster_metrics(
    emb: np.ndarray, identities: np.ndarray, *, seed: int = 0, metric: str = "euclidean"
) -> dict[str, float]:
    """`nmi` and `ami` of k-means clusters and the identities, each at most 1; see `definitions`.

    k-means runs in one thread: with several, the last digits of sums would depend on their number and order.

    Args:
        emb: (N, D) embeddings, finite.
        identities: (N,) labels of any type; remove junk and distractors first.
        metric: `cosine` L2-normalises first. For all other metrics, clusters are Euclidean: k-means has no alternative.

    Raises:
        UserError: for NaN or infinite embeddings.
    """
    check_vectors(emb, emb, metric)
    names, codes = np.unique(np.asarray(identities), return_inverse=True)
    vectors = as_vectors(emb, metric)
    vectors = centred_single(vectors, *centre_and_scale(vectors))  # (N, D) float32: half the time
    if len(emb) * len(names) > LARGE:
        means = MiniBatchKMeans(
            len(names), init="random", n_init=INIT, batch_size=BATCH, max_iter=PASSES, random_state=seed
        )
    else:
        means = KMeans(len(names), n_init=INIT, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct embeddings than identities
        clusters = means.fit_predict(vectors)
    return {
        "nmi": float(normalized_mutual_info_score(codes, clusters)),
        "ami": float(adjusted_mutual_info_score(codes, clusters)),
    }
