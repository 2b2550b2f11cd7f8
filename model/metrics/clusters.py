"""Do clusters that are found without labels agree with the identities? NMI and AMI of k-means.

The figures of the metric learning literature on CUB-200, Cars196 and Stanford Online Products (Song et al., Deep Metric
Learning via Lifted Structured Feature Embedding, CVPR 2016, section 5); AMI, corrected for chance: Vinh et al., JMLR
2010. With many small identities NMI is high even for noise, AMI is near 0 then.
"""

import warnings

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from model.distances import has_unit_length
from model.metrics.vectors import as_vectors, centre_and_scale, centred_single, check_vectors

LARGE = 5e7  # images x identities, from where k-means takes minutes for each of its many passes and starts
BATCH = 8192
PASSES = 20
INIT = 1  # starts; each further one costs the whole time again


def definitions(images: int, identities: int, metric: str = "euclidean", seed: int = 0) -> dict[str, str]:
    """What `nmi` and `ami` were computed with."""
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
        "ami": "adjusted mutual information (arithmetic mean) of the same: 0 for chance",
    }


def cluster_metrics(
    emb: np.ndarray, identities: np.ndarray, *, seed: int = 0, metric: str = "euclidean"
) -> dict[str, float]:
    """`nmi` and `ami` of k-means clusters with the identities, each at most 1; see `definitions`.

    It runs in one thread: the last digits of sums depend on the number of threads and the order in which they end.

    Args:
        emb: (N, D) embeddings, finite.
        identities: (N,) labels of any kind; leave junk and distractors out before.
        metric: `cosine` L2-normalises first; the clusters of all others are Euclidean ones, k-means has no other.

    Raises:
        UserError: for embeddings that are not finite.
    """
    check_vectors(emb, emb, metric)
    names, codes = np.unique(np.asarray(identities), return_inverse=True)
    vectors = as_vectors(emb, metric)
    vectors = centred_single(vectors, *centre_and_scale(vectors))  # (N, D) float32, which halves the time
    if len(emb) * len(names) > LARGE:
        means = MiniBatchKMeans(
            len(names), init="random", n_init=INIT, batch_size=BATCH, max_iter=PASSES, random_state=seed
        )
    else:
        means = KMeans(len(names), n_init=INIT, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different embeddings than identities: no clusters
        clusters = means.fit_predict(vectors)
    return {
        "nmi": float(normalized_mutual_info_score(codes, clusters)),
        "ami": float(adjusted_mutual_info_score(codes, clusters)),
    }
