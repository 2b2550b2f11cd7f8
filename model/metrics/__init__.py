"""Metrics of embeddings: rankings, episodes and clusters, and nearest-neighbour search. Needs no TensorFlow.

>>> import numpy as np
>>> from model.metrics.clusters import cluster_metrics
>>> emb = np.array([[0.0, 0], [0, 1], [9, 9], [9, 8]])
>>> cluster_metrics(emb, np.array(["a", "a", "b", "b"]))
{'nmi': 1.0, 'ami': 1.0}
"""
